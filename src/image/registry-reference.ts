import { isIPv6 } from 'node:net';

import { ImageError, isImageError } from '../errors.ts';
import { isAcIdentifier, sanitizeAcIdentifier } from './ac-identifier.ts';
import { isDigest } from './digest.ts';
import { show } from './show.ts';

/**
 * `docker://[HOST[:PORT]/]NAME[:TAG][@DIGEST]`, normalised: defaults for host and tag are filled in. The digest takes
 * precedence over the tag.
 */
export type RegistryReference = {
  readonly kind: 'registry';
  readonly text: string;
  readonly host: string;
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: string;
};

const hub = 'docker.io';
const hubNames: readonly string[] = [hub, 'index.docker.io', 'registry-1.docker.io'];

const hostLabel = '[a-z0-9](?:[a-z0-9-]*[a-z0-9])?';
const hostName = new RegExp(`^${hostLabel}(?:\\.${hostLabel})*$`);
const component = /^[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*$/;
const tagForm = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const maxNameLength = 255;
const maxLength = 512;

/**
 * Parses `[docker://][HOST[:PORT]/]NAME[:TAG][@DIGEST]`, as docker does. The default host is docker.io. The default tag
 * is `latest`, unless there is a digest.
 *
 * @throws REFERENCE_INVALID
 * @see docs/rules.md R3
 */
export function parseRegistryReference(text: string): RegistryReference {
  const scheme = /^docker:\/\/\/?/i.exec(text)?.[0] ?? '';
  const rest = text.slice(scheme.length);
  const refuse = (problem: string) => invalid(rest, problem);
  if (text.length > maxLength) throw refuse('too long for an image in a registry');

  // Docker would take the first form for a repository with a tag, and the second for a repository.
  if (/^(?:sha256:)?[0-9a-f]{64}$/.test(rest)) throw refuse('a digest needs a name before it: NAME@sha256:…');

  if (rest === '') throw refuse('an empty reference');
  if (rest.includes('?')) throw refuse('a reference of a registry has no query');
  const [named, digest] = splitAt(rest, '@');
  if (digest !== undefined && !isDigest(digest)) {
    throw refuse(
      'only a digest, sha256: and 64 lower-case hex digits, may follow @; user names and passwords are refused',
    );
  }
  const colon = named.lastIndexOf(':');
  const tagged = colon > named.lastIndexOf('/');
  const tag = tagged ? named.slice(colon + 1) : digest === undefined ? 'latest' : undefined;
  if (tag !== undefined && !tagForm.test(tag)) throw refuse(`bad tag "${show(tag)}"`);

  const { host, repository } = splitName(tagged ? named.slice(0, colon) : named);
  if (!isRegistryHost(host)) throw refuse(`bad registry host "${show(host)}"`);
  if (/[A-Z]/.test(repository)) throw refuse('the name of a repository is lower case');
  if (!isRepository(repository)) throw refuse(`bad repository name "${show(repository)}"`);
  if (host.length + 1 + repository.length > maxNameLength)
    throw refuse(`a name has ${maxNameLength} characters at most`);
  return {
    kind: 'registry',
    text,
    host,
    repository,
    ...(tag !== undefined && { tag }),
    ...(digest !== undefined && { digest }),
  };
}

/** A reference as statements and policies have it: no tag is added. */
export type NamedReference = Omit<RegistryReference, 'kind' | 'text'>;

/** Parses `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`; undefined for anything else. */
export function parseNamedReference(text: string): NamedReference | undefined {
  if (/^docker:/i.test(text)) return undefined;
  try {
    const { host, repository, tag, digest } = parseRegistryReference(text);
    const isDefault = digest === undefined && !text.endsWith(`:${tag}`);
    return {
      host,
      repository,
      ...(tag !== undefined && !isDefault && { tag }),
      ...(digest !== undefined && { digest }),
    };
  } catch (error) {
    if (isImageError(error)) return undefined;
    throw error;
  }
}

/** The first part is a host if it contains a dot or a colon, or is localhost. */
function splitName(name: string): { readonly host: string; readonly repository: string } {
  const [first, rest] = splitAt(name, '/');
  const named = rest !== undefined && (/[.:]/.test(first) || first === 'localhost');
  const host = named ? first.toLowerCase() : hub;
  const path = named ? rest : name;
  if (!hubNames.includes(host)) return { host, repository: path };
  return { host: hub, repository: path.includes('/') ? path : `library/${path}` };
}

/** Whether a text is `host[:port]` as in references; IPv6 addresses are in brackets. */
export function isRegistryHost(text: string): boolean {
  const [, address, name = '', port] = /^(?:\[(.*)\]|([^:]*))(?::(\d{1,5}))?$/.exec(text) ?? [];
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) return false;
  return address === undefined ? hostName.test(name) : isIPv6(address);
}

/** Whether a text can be a tag. */
export function isTag(text: string): boolean {
  return tagForm.test(text);
}

export function isRepository(text: string): boolean {
  return text.split('/').every((part) => component.test(part));
}

function splitAt(text: string, separator: string): readonly [string, string?] {
  const at = text.indexOf(separator);
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function invalid(rest: string, problem: string): ImageError<'REFERENCE_INVALID'> {
  const at = rest.lastIndexOf('@');
  // A password before an @, and a query, are removed.
  const shown = (rest.slice(0, Math.max(at, 0)).includes(':') ? rest.slice(at + 1) : rest).replace(/\?.*$/s, '');
  return new ImageError('REFERENCE_INVALID', problem, { input: `docker://${show(shown)}` });
}

/** The host in the names of converted images, as rkt chose it: for Docker Hub it is the host of the registry itself. */
export function registryIndexName(host: string): string {
  return host === 'docker.io' ? 'registry-1.docker.io' : host;
}

/** The name of the image that a registry image is converted to, such as `registry-1.docker.io/library/redis`. */
export function registryImageName({ host, repository }: Pick<RegistryReference, 'host' | 'repository'>): string {
  return sanitizeAcIdentifier(`${registryIndexName(host)}/${repository}`);
}

const scheme = 'docker://';

/**
 * The name for which the keys of an image must be trusted: its own, or, for an image from a registry, that of the
 * repository.
 *
 * @param image - `source` is where it was fetched from.
 */
export function trustName({ name, source }: { readonly name: string; readonly source: string }): string {
  if (!source.startsWith(scheme)) return name;
  try {
    return registryTrustName(parseRegistryReference(source));
  } catch {
    return name; // another version may have written the store
  }
}

/** The name for which keys are trusted for a repository, as in references: `localhost:5000/app`. */
export function registryTrustName({ host, repository }: Pick<RegistryReference, 'host' | 'repository'>): string {
  return `${host}/${repository}`;
}

/** Whether keys can be trusted for a name: of images, or of a registry or its repositories as in references. */
export function isTrustName(text: string): boolean {
  const [host, repository] = splitAt(text, '/');
  return isAcIdentifier(text) || (isRegistryHost(host) && (repository === undefined || isRepository(repository)));
}
