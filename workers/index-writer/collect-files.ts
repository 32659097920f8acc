import { lstatSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';

import type { Cleared } from './clear-directory.ts';
import { inChunks } from './in-chunks.ts';
import { withWriteLock } from './transaction.ts';

export type GarbageFiles = {
  readonly directory: string;
  /** What else lies there is not ours. */
  readonly name: RegExp;
  readonly isGarbage: (name: string) => boolean;
};

/**
 * Removes files that are garbage, or only counts them. Each is looked at again under the lock, where no commit can be
 * half done.
 */
export async function collectFiles(
  db: DatabaseSync,
  { directory, name, isGarbage }: GarbageFiles,
  dryRun: boolean,
): Promise<Cleared> {
  const total = { files: 0, bytes: 0, left: [] };
  for await (const names of inChunks(directory)) {
    const candidates = names.filter((one) => name.test(one) && isGarbage(one));
    if (candidates.length === 0) continue;
    withWriteLock(db, () => {
      for (const path of candidates.filter(isGarbage).map((one) => join(directory, one))) {
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
