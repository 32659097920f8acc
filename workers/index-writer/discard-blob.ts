import { lstatSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';

import type { Rows } from './rows.ts';
import { withWriteLock } from './transaction.ts';

/**
 * Removes a blob unless a row names it: under the lock, since another process may have committed the same image.
 *
 * @returns bytes given back.
 */
export function discardBlob(db: DatabaseSync, rows: Rows, blobs: string, id: string): number {
  return withWriteLock(db, () => {
    if (rows.sizeOf(id) !== undefined) return 0;
    const path = join(blobs, id);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (!stat?.isFile()) return 0;
    unlinkSync(path);
    return stat.size;
  });
}
