import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { ImageError } from '../errors.ts';
import { showUrl } from './show.ts';
import type { UrlReference } from './reference.ts';

/** Whether text is meant as an http or https URL. */
export function isHttpUrl(text: string): boolean {
  return /^https?:\/\//i.test(text);
}

/**
 * An http or https URL as it will be requested: without fragment, and else as it is written.
 *
 * @throws REFERENCE_INVALID, for a user name or password in it too. @see docs/rules.md H7
 */
export function parseHttpReference(text: string): UrlReference {
  // The URL parser would drop control characters and outer spaces.
  const exact = /\p{Cc}|^ | $/u.test(text) ? undefined : parseExactUrl(text);
  if (!exact) throw invalid(text, 'not a URL');
  const { url, href } = exact;
  if (url.username !== '' || url.password !== '') {
    throw invalid(text, 'a URL may not hold a user name or password: they belong into the configuration');
  }
  return { kind: 'url', text, url: href };
}

/** The local path of a file:// URL, decoded; query and fragment count for nothing. @throws REFERENCE_INVALID */
export function fileUrlPath(text: string): string {
  const url = /\p{Cc}/u.test(text) ? null : URL.parse(text);
  // The parser has made an empty host of localhost.
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

/** A URL as it is requested, without fragment: `href` has path and query as they were written. */
export type ExactUrl = { readonly url: URL; readonly href: string };

/**
 * Reads a URL, relative to `base` if that is given. The URL parser encodes characters that need not be, such as a raw `'` in a query;
 * whoever signed the URL signed it as it was written. What cannot stand in a request is encoded all the same, and the path normalised.
 *
 * @returns undefined for what is no http or https URL.
 */
export function parseExactUrl(text: string, base?: string): ExactUrl | undefined {
  const url = URL.parse(text, base);
  if (url === null || !/^https?:$/.test(url.protocol)) return undefined;
  const written = text.replace(/[\t\n\r]/g, '').replace(/^[\0-\x20]+|[\0-\x20]+$/g, ''); // as the parser does
  const [, path = '', query] = /^(?:https?:\/\/[^/?#]*|(?=\/[^/]))?([^?#]*)(\?[^#]*)?/i.exec(written) ?? [];
  const inherited = query ?? (url.search === '' ? '' : queryOf(base ?? ''));
  return { url, href: url.origin + exactPath(path, url.pathname) + encode(inherited) };
}

/** The query of a URL, as it is written there, with its question mark. */
function queryOf(href: string): string {
  return /\?[^#]*/.exec(href)?.[0] ?? '';
}

/** Path and query of a URL that has an exact form, as they go into a request. */
export function requestTarget(href: string): string {
  return href.replace(/^https?:\/\/[^/?#]*/, '');
}

/** The path as written, if the parser did nothing but encode it. */
function exactPath(written: string, parsed: string): string {
  const encoded = written.replace(/["<>^`{}]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
  return encoded === parsed ? written : parsed;
}

function encode(query: string): string {
  return query.toWellFormed().replace(/[^\x21-\x7e]+/g, encodeURIComponent);
}
