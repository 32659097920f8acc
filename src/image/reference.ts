import { hash } from 'node:crypto';
import { isAbsolute, resolve } from 'node:path';

import { hasCode, ImageError } from '../errors.ts';
import { acIdentifierProblem } from './ac-identifier.ts';
import type { ImageType } from './apps.ts';
import { isDigest } from './digest.ts';
import { parseImageIdPrefix } from './image-id.ts';
import { formatLabels, type Labels, sortLabels } from './labels.ts';
import { parseRegistryReference, type RegistryReference } from './registry-reference.ts';
import { show, showUrl } from './show.ts';
import { fileUrlPath, parseHttpReference, type UrlReference } from './url.ts';

/** `prefix` is `sha512-` and 2 to 128 lower-case hex digits, or the complete digest of a registry image's manifest. */
export type IdReference = { readonly kind: 'id'; readonly text: string; readonly prefix: string };
/** `path` is absolute. It was relative to `directory`, or is the path of a file:// URL. */
export type FileReference = {
  readonly kind: 'file';
  readonly text: string;
  readonly path: string;
  /** Of a file that came in a bundle: which image it is said to be. */
  readonly carried?: { readonly imageId: string; readonly source: string; readonly latest: boolean };
};
/** Without default labels, which are added when the reference is looked up. An empty version counts as absent. */
export type NameReference = {
  readonly kind: 'name';
  readonly text: string;
  readonly name: string;
  readonly labels: Labels;
};

/** A parsed request; `text` is as the caller wrote it. A plain record, so it can be sent to a thread. */
export type ImageReference = IdReference | FileReference | UrlReference | NameReference | RegistryReference;

/** What a name without a scheme stands for: an image that discovery finds, or one of a registry, as docker reads it. */
export type Names = 'discovery' | 'registry';

type ReferenceContext = {
  /** Absolute; the base of relative paths. */
  readonly directory: string;
  /** Default guess. */
  readonly type?: ImageType;
  /** How a name is read whose type is guessed. Default `discovery`. */
  readonly names?: Names;
  /** Whether a regular file is at an absolute path. Called only if the text alone does not decide. */
  readonly isFile: (path: string) => boolean;
};

/**
 * Parses what a user asked for: an image ID, a path, a URL, a registry reference or an image name.
 *
 * @throws REFERENCE_INVALID, ID_TOO_SHORT
 */
export function parseReference(text: string, context: ReferenceContext): ImageReference {
  const type = context.type ?? 'guess';
  const guessed = type === 'guess' ? guessType(text, context) : type;
  switch (type === 'guess' && guessed === 'name' && context.names === 'registry' ? 'docker' : guessed) {
    case 'hash':
      return { kind: 'id', text, prefix: isDigest(text) ? text : parseImageIdPrefix(text) };
    case 'url':
      return parseUrl(text);
    case 'docker':
      return parseRegistryReference(text);
    case 'path':
      if (text === '' || text.includes('\0')) throw invalid(text, 'not a path');
      return { kind: 'file', text, path: resolve(context.directory, text) };
    case 'name':
      return { kind: 'name', text, ...parseName(text) };
  }
}

/** Adds a hint when the text is a registry image as other programs write it, or looks like one. */
function parseName(text: string): ReturnType<typeof parseAppString> {
  try {
    return parseAppString(text);
  } catch (error) {
    if (!hasCode(error, 'REFERENCE_INVALID')) throw error;
    const didYouMean = asRegistryReference(text);
    if (didYouMean === undefined && !/^[^/]+:\d+\/|@sha256:/.test(text)) throw error;
    const message = `${error.message}; an image of a registry is written docker://HOST[:PORT]/NAME[:TAG]`;
    const details = { ...error.details, ...(didYouMean !== undefined && { didYouMean }) };
    throw new ImageError('REFERENCE_INVALID', message, details, { cause: error });
  }
}

/** A name as the reference of an image of a registry; undefined if it does not read as one. */
export function asRegistryReference(text: string): string | undefined {
  try {
    parseRegistryReference(text);
    return `docker://${text}`;
  } catch {
    return undefined;
  }
}

/** The first matching rule decides; an existing file takes precedence over a name. */
function guessType(text: string, { directory, isFile }: ReferenceContext): Exclude<ImageType, 'guess'> {
  if (text === '') throw invalid(text, 'an empty reference');
  if (/^sha512-[^-/.:,]*$/i.test(text) || isDigest(text)) return 'hash';
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return 'url';
  if (isAbsolute(text)) return 'path';
  if (!text.includes('\0') && isFile(resolve(directory, text))) return 'path';
  const [, scheme] = /^(https?|docker|file):/i.exec(text) ?? [];
  if (scheme !== undefined) throw invalid(text, `two slashes are missing after ${scheme}:`);
  const transport = transportOf(text);
  if (transport !== undefined) {
    throw invalid(text, `${transport}: is not read here; ${adviceFor(transport, text)}`);
  }
  if (text.includes(':')) return 'name';
  return text.includes('./') || text.endsWith('.aci') ? 'path' : 'name';
}

/** What skopeo and podman call a transport, of those that are not read. `oci` and `dir` may be names with a version too. */
function transportOf(text: string): string | undefined {
  const [, transport] =
    /^(oci-archive|docker-archive|docker-daemon|containers-storage):/.exec(text) ??
    /^(oci|dir):(?:.*[/:]|[.~])/.exec(text) ??
    [];
  return transport;
}

/** How to get at the images of a transport. */
function adviceFor(transport: string, text: string): string {
  const [, path = ''] = /^[^:]*:([^:]*)/.exec(text) ?? [];
  if (/^(?:oci|oci-archive|docker-archive)$/.test(transport))
    return `its images come into the store with: longshore image import ${show(path)}`;
  return `copy it to a registry, with skopeo copy ${show(text)} docker://HOST/NAME:TAG, and ask for that`;
}

function parseUrl(text: string): FileReference | UrlReference | RegistryReference {
  const [, scheme = ''] = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text) ?? [];
  switch (scheme.toLowerCase()) {
    case 'http':
    case 'https':
      return parseHttpReference(text);
    case 'file':
      return { kind: 'file', text, path: fileUrlPath(text) };
    case 'docker':
      return parseRegistryReference(text);
    default:
      throw invalid(text, `URLs are http, https, docker or file, not "${show(scheme)}"`);
  }
}

function invalid(text: string, problem: string): ImageError<'REFERENCE_INVALID'> {
  const input = /^[a-z][a-z0-9+.-]*:/i.test(text) ? showUrl(text) : show(text);
  return new ImageError('REFERENCE_INVALID', problem, { input });
}

/** A text that parses to the same reference. A URL includes its query, so use showUrl for output. */
export function formatReference(reference: ImageReference): string {
  switch (reference.kind) {
    case 'id':
      return reference.prefix;
    case 'file':
      return reference.path;
    case 'url':
      return reference.url;
    case 'name':
      return formatAppString(reference);
    case 'registry': {
      const { host, repository, tag, digest } = reference;
      return `docker://${host}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
    }
  }
}

/** Two references have the same key exactly if they ask for the same image. The key contains no secret of a URL. */
export function referenceKey(reference: ImageReference): string {
  // The formatted labels are not used here, since labels of dependencies may contain commas.
  if (reference.kind === 'name') return `name:${JSON.stringify([reference.name, ...sortLabels(reference.labels)])}`;
  return `${reference.kind}:${reference.kind === 'url' ? urlKey(reference.url) : formatReference(reference)}`;
}

function urlKey(url: string): string {
  const shown = showUrl(url);
  return shown === url ? url : `${shown} ${hash('sha256', url, 'hex').slice(0, 32)}`;
}

/** An image name and its labels. An empty version counts as absent. */
type AppString = { readonly name: string; readonly labels: Labels };

/**
 * Parses `name[:version][,label=value]*`. Nothing is trimmed, unescaped or checked against the list of platforms.
 *
 * @throws REFERENCE_INVALID
 * @see appc 0.8.11, discovery/parse.go
 */
export function parseAppString(text: string): AppString {
  if (/\p{Cc}/u.test(text)) throw invalidName(text, 'holds a control character');
  const [head = '', ...pairs] = text.split(',');
  if (pairs.some((pair) => pair.includes(':'))) throw invalidName(text, 'a colon may stand only right after the name');
  const [name = '', version, ...more] = head.split(':');
  if (more.length > 0) throw invalidName(text, 'one colon at most');
  const problem = acIdentifierProblem(name);
  if (problem !== undefined) throw invalidName(text, `the image name "${show(name)}" ${problem}`);

  const labels = new Map(version === undefined ? [] : [['version', version]]);
  for (const pair of pairs) addLabel(labels, pair, text);
  if (labels.get('version') === '') labels.delete('version');
  return { name, labels };
}

function addLabel(labels: Map<string, string>, pair: string, text: string): void {
  const equals = pair.indexOf('=');
  if (equals === -1) throw invalidName(text, `label without a value: "${show(pair)}"`);
  const label = pair.slice(0, equals);
  const problem = acIdentifierProblem(label);
  if (problem !== undefined) throw invalidName(text, `the label name "${show(label)}" ${problem}`);
  // The name counts as a label, too, and is already given.
  if (label === 'name' || labels.has(label)) throw invalidName(text, `label ${label} is given twice`);
  labels.set(label, pair.slice(equals + 1));
}

/**
 * `name,label=value…`, sorted by label. It parses to the same value, unless a label value contains a comma or a colon.
 */
export function formatAppString({ name, labels }: AppString): string {
  return labels.size === 0 ? name : `${name},${formatLabels(labels)}`;
}

function invalidName(text: string, problem: string): ImageError<'REFERENCE_INVALID'> {
  return new ImageError('REFERENCE_INVALID', problem, { input: show(text) });
}

/**
 * The text of a request for display: URLs without credentials and query. A registry reference has neither, but if
 * someone wrote one there, it is removed as well.
 */
export function showReference(text: string): string {
  if (isUrl(text)) return showUrl(text);
  return show(
    isBrokenUrl(text) ? text.replace(/[?#].*$/s, '').replace(/:.*@/s, ':') : withoutUserOfRegistry(text),
    1000,
  );
}

/** The caller's text, but URLs without credentials and query. Used for events. */
export function withoutSecrets(text: string): string {
  return isUrl(text) ? showUrl(text) : text;
}

function isUrl(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text) && !/^docker:/i.test(text);
}

/** Whether it is meant as a URL, but lacks a slash. */
function isBrokenUrl(text: string): boolean {
  return /^(?:https?|ftp|file):/i.test(text);
}

/** Removes the text before an `@`, unless a digest follows it. */
function withoutUserOfRegistry(text: string): string {
  return text.replace(/^(docker:\/*|(?=[^/@:]+:))[^/]*@(?!sha\d+:)/i, '$1').replace(/^(docker:[^?]*)\?.*$/is, '$1');
}
