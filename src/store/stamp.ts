import type { BigIntStats } from 'node:fs';

import { optionalTextOf, textOf } from './columns.ts';
import type { Row } from './reader.ts';

/** What is remembered of a file that was good. As text: nanoseconds since the epoch do not fit into a number. */
export const stampColumns =
  'CAST(size AS TEXT) size, CAST(mtime_ns AS TEXT) mtime, CAST(ctime_ns AS TEXT) ctime, CAST(inode AS TEXT) inode';

/** Whether a file is as it was then. @param row - of `stampColumns`. */
export function hasStamp(stat: BigIntStats, row: Row): boolean {
  return (
    stat.isFile() &&
    textOf(row, 'size') === String(stat.size) &&
    textOf(row, 'mtime') === String(stat.mtimeNs) &&
    optionalTextOf(row, 'ctime') === String(stat.ctimeNs) &&
    textOf(row, 'inode') === String(stat.ino)
  );
}
