import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { show, showReference, showUrl } from '../../index.ts';
import { usageError } from '../options/usage-error.ts';

/** Where a key is; `shown` is for people: without credentials and query. */
export type KeyLocation =
  | { readonly kind: 'file'; readonly path: string; readonly shown: string }
  | { readonly kind: 'url'; readonly url: string; readonly shown: string };

/** A path, however odd the characters in it, or a file, http or https URL. @throws USAGE */
export function parseKeyLocation(text: string): KeyLocation {
  const [scheme] = /^[a-z][a-z0-9+.-]*:\/\//i.exec(text) ?? [];
  switch (scheme?.toLowerCase()) {
    case undefined:
      if (text === '') throw usageError('an empty name is no key file'); // not the working directory
      return { kind: 'file', path: resolve(text), shown: show(text, 1000) };
    case 'http://':
    case 'https://':
      return { kind: 'url', url: text, shown: showUrl(text) };
    case 'file://':
      return { kind: 'file', path: pathOf(text), shown: showReference(text) };
    default:
      throw usageError(`"${showReference(text)}": keys are files or have an http or https URL`);
  }
}

function pathOf(text: string): string {
  try {
    return fileURLToPath(text);
  } catch {
    throw usageError(`"${showReference(text)}": a file URL names a local file: file:///PATH`);
  }
}

/** True for what a server with a certificate of its own has sent. */
export function isHttps(location: KeyLocation): boolean {
  return location.kind === 'url' && location.url.toLowerCase().startsWith('https:');
}
