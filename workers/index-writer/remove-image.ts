import type { DatabaseSync } from 'node:sqlite';

import { discardBlob } from './discard-blob.ts';
import type { MessageOf } from './protocol.ts';
import type { Rows } from './rows.ts';
import { withTransaction } from './transaction.ts';

/**
 * Takes an image off the list, and only then removes its blob: at no moment is something listed that is not there.
 *
 * @returns bytes given back, 0 when the blob was gone already; undefined when no such image is listed.
 */
export function removeImage(
  db: DatabaseSync,
  rows: Rows,
  blobs: string,
  { id, keepsFile }: MessageOf<'remove'>['request'],
): number | undefined {
  const listed = withTransaction(db, 'FULL', () => {
    if (rows.sizeOf(id) === undefined) return false;
    rows.deleteImage(id);
    return true;
  });
  if (!listed) return undefined;
  return keepsFile ? 0 : discardBlob(db, rows, blobs, id);
}
