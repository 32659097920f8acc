import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { errnoOf, isNoEntry, whyFailed } from '../system/errno.ts';
import { readFound } from '../system/files.ts';
import { ImageError } from '../errors.ts';
import { defaultLimits } from '../image/limits.ts';
import { show } from '../image/show.ts';
import type { KeyFile } from './keystore.ts';
import { isAcIdentifier, parseAcIdentifier } from '../image/ac-identifier.ts';

/** What a file named by a fingerprint holds: a certificate, or nothing, which masks the key of that name. */
export type KeyContent =
  | { readonly kind: 'certificate'; readonly path: string; readonly certificate: Uint8Array }
  | { readonly kind: 'mask'; readonly path: string };

/** One directory of trusted keys. */
export type KeyDirectory = {
  /** Names of what may be directories. */
  readonly children: ReadonlySet<string>;
  /** By fingerprint. */
  readonly keys: ReadonlyMap<string, KeyContent>;
};

const none: KeyDirectory = { children: new Set(), keys: new Map() };

/**
 * A directory that is not there is empty. Hidden files are passed over, other files that can't be keys are skipped.
 *
 * @param onSkip - told of what is skipped, one sentence each.
 * @throws FILE_UNREADABLE when the directory itself cannot be read: it may hold masks.
 * @see docs/rules.md S2
 */
export async function readKeyDirectory(
  directory: string,
  onSkip: (path: string, why: string) => void,
): Promise<KeyDirectory> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: unknown) => {
    if (isNoEntry(error)) return undefined;
    const message = `trusted keys can't be read: ${show(reason(error), 4096)}`;
    throw new ImageError('FILE_UNREADABLE', message, { path: directory }, { cause: error });
  });
  if (!entries) return none;

  const children = new Set<string>();
  const keys = new Map<string, KeyContent>();
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (isFingerprint(entry.name)) {
      const content = await readContent(path).catch((error: unknown) => reason(error));
      if (typeof content !== 'string') keys.set(entry.name, content);
      else onSkip(path, content);
    } else if (entry.isDirectory() || entry.isSymbolicLink()) {
      children.add(entry.name);
    } else if (!entry.name.startsWith('.')) {
      onSkip(path, 'its name is not a fingerprint (40 or 64 lower-case hex digits)');
    }
  }
  return { children, keys };
}

/** @returns why it is skipped, when it is no file that could hold a key. */
async function readContent(path: string): Promise<KeyContent | string> {
  const certificate = await readFound(path, defaultLimits.key);
  if (certificate.length > defaultLimits.key) return `it has more than ${defaultLimits.key} bytes`;
  return certificate.length > 0 ? { kind: 'certificate', path, certificate } : { kind: 'mask', path };
}

function reason(error: unknown): string {
  if (['EFTYPE', 'EISDIR'].includes(errnoOf(error) ?? '')) return 'it is not a file';
  return whyFailed(error);
}

/** Every key file and mask of every layer: root keys first, then by prefix. */
export async function listKeyFiles(
  dirs: readonly string[],
  read: (directory: string) => Promise<KeyDirectory>,
): Promise<readonly KeyFile[]> {
  const files: KeyFile[] = [];
  const collect = (layer: number, prefix: string | undefined, { keys }: KeyDirectory): void => {
    for (const [fingerprint, { kind, path }] of keys) {
      files.push({ fingerprint, ...(prefix !== undefined && { prefix }), layer, path, masked: kind === 'mask' });
    }
  };
  const walk = async (layer: number, dir: string, parent: string, { children }: KeyDirectory): Promise<void> => {
    if (parent.split('/').length >= partsMaximum) return;
    for (const child of Array.from(children).toSorted()) {
      const prefix = parent === '' ? child : `${parent}/${child}`;
      if (!isAcIdentifier(prefix)) continue;
      const directory = await read(prefixDirectory(dir, prefix));
      collect(layer, prefix, directory);
      await walk(layer, dir, prefix, directory);
    }
  };

  for (const [layer, dir] of dirs.entries()) {
    collect(layer, undefined, await read(rootDirectory(dir)));
    await walk(layer, dir, '', await read(prefixDirectory(dir)));
  }
  return files;
}

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
function isFingerprint(text: string): boolean {
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text);
}

/** Upper-case digits are taken too. @throws KEY_INVALID */
export function parseFingerprint(text: string): string {
  const fingerprint = text.toLowerCase();
  if (isFingerprint(fingerprint)) return fingerprint;
  throw new ImageError('KEY_INVALID', `"${show(text)}" is not a fingerprint: want 40 or 64 hex digits`, {});
}
