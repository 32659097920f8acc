import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { ImageError } from '../errors.ts';
import { showUrl } from './show.ts';

/** `url` is exactly the http or https URL that will be requested. */
export type UrlReference = { readonly kind: 'url'; readonly text: string; readonly url: string };

/** Whether a text is meant as an http or https URL. */
export function isHttpUrl(text: string): boolean {
  return /^https?:\/\//i.test(text);
}

/**
 * Parses an http or https URL as it will be requested: without fragment, otherwise as written.
 *
 * @throws REFERENCE_INVALID, also if it contains a user name or password. @see docs/rules.md H7
 */
export function parseHttpReference(text: string): UrlReference {
  // The URL parser would remove control characters and outer spaces.
  const exact = /\p{Cc}|^ | $/u.test(text) ? undefined : parseExactUrl(text);
  if (!exact) throw invalid(text, 'not a URL');
  const { url, href } = exact;
  if (url.username !== '' || url.password !== '') {
    throw invalid(text, 'a URL may not hold a user name or password: they belong into the configuration');
  }
  return { kind: 'url', text, url: href };
}

/** The decoded local path of a file:// URL; query and fragment are ignored. @throws REFERENCE_INVALID */
export function fileUrlPath(text: string): string {
  const url = /\p{Cc}/u.test(text) ? null : URL.parse(text);
  // The parser replaces the host localhost by an empty one.
  if (url === null || url.host !== '') throw invalid(text, 'a file URL names a local file: file:///PATH');
  let path: string;
  try {
    path = fileURLToPath(url);
  } catch (cause) {
    throw invalid(text, 'the path of the URL is badly encoded', cause);
  }
  if (path.includes('\0')) throw invalid(text, 'the path of the URL is badly encoded');
  return resolve(path);
}

function invalid(text: string, problem: string, cause?: unknown): ImageError<'REFERENCE_INVALID'> {
  return new ImageError(
    'REFERENCE_INVALID',
    problem,
    { input: showUrl(text) },
    cause === undefined ? undefined : { cause },
  );
}

/** A URL as it is requested, without fragment. In `href`, path and query are as written. */
export type ExactUrl = { readonly url: URL; readonly href: string };

/**
 * Parses a URL, relative to `base` if given. The URL parser encodes more characters than necessary, such as a raw `'`
 * in a query, which would break a signed URL: it was signed as written. Only characters that a request cannot contain
 * are encoded, and the path is normalised.
 *
 * @returns undefined unless it is an http or https URL.
 */
export function parseExactUrl(text: string, base?: string): ExactUrl | undefined {
  const url = URL.parse(text, base);
  if (url === null || !/^https?:$/.test(url.protocol)) return undefined;
  const written = text.replace(/[\t\n\r]/g, '').replace(/^[\0-\x20]+|[\0-\x20]+$/g, ''); // as the parser does
  const [, path = '', query] = /^(?:https?:\/\/[^/?#]*|(?=\/[^/]))?([^?#]*)(\?[^#]*)?/i.exec(written) ?? [];
  const inherited = query ?? (url.search === '' ? '' : queryOf(base ?? ''));
  return { url, href: url.origin + exactPath(path, url.pathname) + encode(inherited) };
}

/** The query of a URL as written, with its question mark. */
function queryOf(href: string): string {
  return /\?[^#]*/.exec(href)?.[0] ?? '';
}

/** Path and query for a request, from the `href` of an ExactUrl. */
export function requestTarget(href: string): string {
  return href.replace(/^https?:\/\/[^/?#]*/, '');
}

/** The path as written, unless the parser did more than encode it. */
function exactPath(written: string, parsed: string): string {
  const encoded = written.replace(/["<>^`{}]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
  return encoded === parsed ? written : parsed;
}

function encode(query: string): string {
  return query.toWellFormed().replace(/[^\x21-\x7e]+/g, encodeURIComponent);
}

/** Where an image came from as a URI (RFC 3986). A path becomes a file URL, a name one of the scheme `longshore`. */
export function toUri(source: string): string {
  const url = source.startsWith('/') ? pathToFileURL(source) : URL.parse(source);
  if (!url) return `longshore:image/${encodeURIComponent(source.toWellFormed())}`;
  const [, place = '', rest = ''] = /^([^:]+:\/\/[^/]*)?(.*)$/s.exec(url.href) ?? [];
  return place + rest.replace(/%(?![0-9A-F]{2})|[^\w:/?#@!$&'()*+,;=%.~-]/gi, encodeURIComponent);
}
