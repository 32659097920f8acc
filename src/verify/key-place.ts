import { join } from 'node:path';

import { ImageError } from '../errors.ts';
import { parseAcIdentifier } from '../image/ac-identifier.ts';
import { show } from '../image/show.ts';

/** Path parts of a prefix: more are neither searched nor written. */
export const partsMaximum = 64;
const partBytes = 255;

/** Keys that are trusted for every name. */
export function rootDirectory(dir: string): string {
  return join(dir, 'trustedkeys', 'root.d');
}

/** Keys that are trusted for one prefix and what is below; without a prefix, the directory of all prefixes. */
export function prefixDirectory(dir: string, prefix = ''): string {
  return join(dir, 'trustedkeys', 'prefix.d', ...prefix.split('/'));
}

export function keyPath(dir: string, prefix: string | undefined, fingerprint: string): string {
  return join(prefix === undefined ? rootDirectory(dir) : prefixDirectory(dir, prefix), fingerprint);
}

/** A prefix that keys may be stored under: an AC Identifier, so that no `..` climbs out. @throws NAME_INVALID */
export function parseKeyPrefix(text: string): string {
  const parts = parseAcIdentifier(text).split('/');
  if (parts.length <= partsMaximum && parts.every((part) => part.length <= partBytes)) return text;
  throw new ImageError('NAME_INVALID', `the prefix "${show(text)}" is too long`, { name: show(text) });
}

/** Of versions 4 and 6, lower-case hex. */
export function isFingerprint(text: string): boolean {
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text);
}

/** Upper-case digits are taken too. @throws KEY_INVALID */
export function parseFingerprint(text: string): string {
  const fingerprint = text.toLowerCase();
  if (isFingerprint(fingerprint)) return fingerprint;
  throw new ImageError('KEY_INVALID', `"${show(text)}" is not a fingerprint: want 40 or 64 hex digits`, {});
}
