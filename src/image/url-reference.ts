import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { ImageError } from '../errors.ts';
import { parseExactUrl } from './exact-url.ts';
import { showUrl } from './show-url.ts';
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
