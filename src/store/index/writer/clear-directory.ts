import { lstatSync, readdirSync, rmSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';

import { errnoOf } from '../../../system/errno.ts';
import { inChunks, withWriteLock } from './transaction.ts';

/** The number of non-empty files, their bytes, and the paths that could not be removed. */
export type Cleared = { readonly files: number; readonly bytes: number; readonly left: readonly string[] };
export const nothing: Cleared = { files: 0, bytes: 0, left: [] };

/**
 * Removes the file or directory at a path, or only counts it (`dryRun`). No link is followed. What cannot be removed
 * stays.
 */
export function clearDirectory(path: string, dryRun: boolean): Cleared {
  try {
    const sizes = listFiles(path).map((file) => lstatSync(file, { throwIfNoEntry: false })?.size ?? 0);
    if (!dryRun) rmSync(path, { recursive: true, force: true });
    return {
      files: sizes.filter((size) => size > 0).length,
      bytes: sizes.reduce((sum, size) => sum + size, 0),
      left: [],
    };
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return { ...nothing, left: [path] };
  }
}

/** ENOENT is ignored: another process may be clearing the same directory. */
function listFiles(path: string): readonly string[] {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat?.isDirectory()) return stat?.isFile() ? [path] : [];
  try {
    const entries = readdirSync(path, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}

type GarbageFiles = {
  readonly directory: string;
  /** Other names in the directory are not ours. */
  readonly name: RegExp;
  readonly isGarbage: (name: string) => boolean;
};

/**
 * Removes garbage files, or only counts them. Each file is checked again under the lock, where no commit can be half
 * done.
 */
export async function collectFiles(
  db: DatabaseSync,
  { directory, name, isGarbage }: GarbageFiles,
  dryRun: boolean,
): Promise<Cleared> {
  const total = { files: 0, bytes: 0, left: [] };
  for await (const names of inChunks(directory)) {
    const candidates = names.filter((file) => name.test(file) && isGarbage(file));
    if (candidates.length === 0) continue;
    withWriteLock(db, () => {
      for (const path of candidates.filter(isGarbage).map((file) => join(directory, file))) {
        const stat = lstatSync(path, { throwIfNoEntry: false });
        if (!stat?.isFile()) continue;
        if (!dryRun) unlinkSync(path);
        total.files += 1;
        total.bytes += stat.size;
      }
    });
  }
  return total;
}
