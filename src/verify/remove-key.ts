import { stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';

import { isNoEntry } from '../system/errno.ts';
import { keyPath } from './key-place.ts';
import { keyWriteError, syncDirectory, writeKey } from './write-key.ts';

export type KeyRemoval = {
  readonly fingerprint: string;
  readonly prefix: string | undefined;
  /** The layer that is written; the first one, the system's, is touched only when it is this one. */
  readonly layer: number;
};

/**
 * Takes a key away from where it was put: its file is removed in `layer` and in every other layer but the system's, as
 * far as they can be written, and what is left in an earlier one is masked.
 *
 * @returns false when there was nothing to take away.
 * @throws STORE_READ_ONLY and others of keyWriteError, when it would still be trusted.
 */
export async function removeKey(dirs: readonly string[], { fingerprint, prefix, layer }: KeyRemoval): Promise<boolean> {
  const paths = dirs.map((dir) => keyPath(dir, prefix, fingerprint));
  let removed = false;
  let isTrusted = false;
  for (const [index, path] of paths.entries()) {
    const size = await sizeOf(path);
    if (size === undefined) continue;
    if (size > 0 && (index > 0 || index === layer)) {
      if (await remove(path, index >= layer)) {
        removed = true;
        continue;
      }
    }
    isTrusted = size > 0;
  }
  const target = paths[layer];
  if (isTrusted && target !== undefined) await writeKey(target, new Uint8Array());
  return removed || isTrusted;
}

/** @returns undefined when there is no file. */
async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isNoEntry(error)) return undefined;
    throw keyWriteError(path, error);
  }
}

/** @returns false when it stays and need not go: a mask in a later layer hides it. */
async function remove(path: string, isNeeded: boolean): Promise<boolean> {
  try {
    await unlink(path);
    await syncDirectory(dirname(path));
    return true;
  } catch (error) {
    if (isNeeded) throw keyWriteError(path, error);
    return false;
  }
}
