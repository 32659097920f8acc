import { lstatSync, type BigIntStats } from 'node:fs';

import type { BlobStamp } from '../../workers/index-writer/blob-file.ts';
import { textOf } from './columns.ts';
import type { Row } from './reader.ts';

/** What is remembered of a file that was good. As text: nanoseconds since the epoch do not fit into a number. */
export const stampColumns = 'CAST(size AS TEXT) size, CAST(mtime_ns AS TEXT) mtime, CAST(inode AS TEXT) inode';

/** Whether a file is as it was then. @param row - of `stampColumns`. */
export function hasStamp(stat: BigIntStats, row: Row): boolean {
  return (
    stat.isFile() &&
    textOf(row, 'size') === String(stat.size) &&
    textOf(row, 'mtime') === String(stat.mtimeNs) &&
    textOf(row, 'inode') === String(stat.ino)
  );
}

export type { BlobStamp };

/** A regular file as it stands now. @returns undefined for everything else */
export function stampFile(path: string): { readonly size: number; readonly stamp: BlobStamp } | undefined {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return stat?.isFile() ? { size: Number(stat.size), stamp: { mtimeNs: stat.mtimeNs, inode: stat.ino } } : undefined;
}
