import { hash } from 'node:crypto';
import { isAbsolute, resolve } from 'node:path';

import { hasCode, ImageError } from '../errors.ts';
import { formatAppString, parseAppString } from './app-string.ts';
import type { ImageType } from './apps.ts';
import { isDigest } from './digest.ts';
import { parseImageIdPrefix } from './image-id.ts';
import { sortLabels, type Labels } from './labels.ts';
import { parseRegistryReference } from './registry-reference.ts';
import { showUrl } from './show-url.ts';
import { show } from './show.ts';
import { fileUrlPath, parseHttpReference } from './url-reference.ts';

/** `prefix` is `sha512-` and 2 to 128 lower-case hex digits, or the digest of a registry image's manifest, whole. */
export type IdReference = { readonly kind: 'id'; readonly text: string; readonly prefix: string };
/** `path` as typed, or the path of a file:// URL. Relative to `directory` of the parse call; already absolute here. */
export type FileReference = { readonly kind: 'file'; readonly text: string; readonly path: string };
/** `url` is exactly what will be requested: http or https. */
export type UrlReference = { readonly kind: 'url'; readonly text: string; readonly url: string };
/** No default labels: they are added when the reference is looked up. An empty version counts as absent. */
export type NameReference = {
  readonly kind: 'name';
  readonly text: string;
  readonly name: string;
  readonly labels: Labels;
};
/** `docker://[HOST[:PORT]/]NAME[:TAG][@DIGEST]`, normalised: host and tag filled in, the digest decides. */
export type RegistryReference = {
  readonly kind: 'registry';
  readonly text: string;
  readonly host: string;
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: string;
};

/** A parsed request; `text` is the caller's own. A plain record, so it can cross a thread. */
export type ImageReference = IdReference | FileReference | UrlReference | NameReference | RegistryReference;

export type ReferenceContext = {
  /** Absolute; what relative paths are relative to. */
  readonly directory: string;
  /** Default guess. */
  readonly type?: ImageType;
  /** Whether a regular file is at an absolute path; asked only when the text alone does not tell. */
  readonly isFile: (path: string) => boolean;
};

/**
 * Parses what a user asked for: an image ID, a path, a URL, a registry reference or an image name.
 *
 * @throws REFERENCE_INVALID, ID_TOO_SHORT
 */
export function parseReference(text: string, context: ReferenceContext): ImageReference {
  const type = context.type ?? 'guess';
  switch (type === 'guess' ? guessType(text, context) : type) {
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

/** What is no name may be how other programs write an image of a registry, port and all. */
function parseName(text: string): ReturnType<typeof parseAppString> {
  try {
    return parseAppString(text);
  } catch (error) {
    if (!hasCode(error, 'REFERENCE_INVALID') || !/^[^/]+:\d+\/|@sha256:/.test(text)) throw error;
    const message = `${error.message}; an image of a registry is written docker://HOST[:PORT]/NAME[:TAG]`;
    throw new ImageError('REFERENCE_INVALID', message, error.details, { cause: error });
  }
}

/** The first rule that fits decides; an existing file wins over a name. */
function guessType(text: string, { directory, isFile }: ReferenceContext): Exclude<ImageType, 'guess'> {
  if (text === '') throw invalid(text, 'an empty reference');
  if (/^sha512-[^-/.:,]*$/i.test(text) || isDigest(text)) return 'hash';
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return 'url';
  if (isAbsolute(text)) return 'path';
  if (!text.includes('\0') && isFile(resolve(directory, text))) return 'path';
  const [, scheme] = /^(https?|docker|file):/i.exec(text) ?? [];
  if (scheme !== undefined) throw invalid(text, `two slashes are missing after ${scheme}:`);
  const [, transport] = /^(oci|oci-archive|docker-archive|docker-daemon|dir|containers-storage):[./~]/.exec(text) ?? [];
  if (transport !== undefined) {
    throw invalid(text, `${transport}: is not read; copy it to a registry and ask for that: docker://HOST/NAME:TAG`);
  }
  if (text.includes(':')) return 'name';
  return text.includes('./') || text.endsWith('.aci') ? 'path' : 'name';
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

/** Text that parses to the same reference. A URL comes with its query: show it through showUrl. */
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

/** The same for two references, and only then, when they ask for the same thing. It tells nothing that is secret in a URL. */
export function referenceKey(reference: ImageReference): string {
  // Labels of dependencies may hold commas, so their written form would not do.
  if (reference.kind === 'name') return `name:${JSON.stringify([reference.name, ...sortLabels(reference.labels)])}`;
  return `${reference.kind}:${reference.kind === 'url' ? urlKey(reference.url) : formatReference(reference)}`;
}

function urlKey(url: string): string {
  const shown = showUrl(url);
  return shown === url ? url : `${shown} ${hash('sha256', url, 'hex').slice(0, 32)}`;
}
