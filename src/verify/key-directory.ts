import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { errnoOf, isNoEntry, whyFailed } from '../system/errno.ts';
import { readFound } from '../system/files.ts';
import { ImageError } from '../errors.ts';
import { defaultLimits } from '../image/limits.ts';
import { show } from '../image/show.ts';
import { isFingerprint } from './key-place.ts';

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
