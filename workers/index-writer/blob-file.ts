import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  renameSync,
  type BigIntStats,
} from 'node:fs';

import { ImageError } from '../../src/errors.ts';
import { show } from '../../src/image/show.ts';
import { whenFilesAreFreeSync } from '../../src/system/spare-files.ts';
import { stampOf, type FileStamp } from '../../src/system/stamp.ts';

const blobMode = 0o444;

/** A blob before it was remembered when its file last changed has no ctime: it has to be hashed first. */
export type KnownBlob = { readonly [F in keyof FileStamp]: FileStamp[F] | null } & { readonly size: number };

/** The stamp of a file that is the one that the index remembers; undefined for any other. */
export function intactStamp(path: string, known: KnownBlob): FileStamp | undefined {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return isSame(stat, known) ? stampOf(stat) : undefined;
}

function isSame(stat: BigIntStats | undefined, { size, mtimeNs, ctimeNs, inode }: KnownBlob): stat is BigIntStats {
  if (!stat?.isFile() || stat.size !== BigInt(size)) return false;
  return stat.mtimeNs === mtimeNs && stat.ctimeNs === ctimeNs && stat.ino === inode;
}

/**
 * Puts the very file that was verified in its place. What is there already is replaced: it may be damaged, the new one is not;
 * who reads the old one reads on.
 *
 * @param known - of the descriptor that was hashed.
 * @returns the stamp in its place: to rename a file changes its ctime.
 * @throws STORE_CORRUPT when another file lies there now.
 */
export function placeBlob(from: string, to: string, known: KnownBlob): FileStamp {
  const stat = lstatSync(from, { bigint: true });
  if (!isSame(stat, known)) throw isAnother(from, known);
  if ((Number(stat.mode) & 0o777) !== blobMode) makeReadOnly(from, stat.ino);
  renameSync(from, to);
  const placed = lstatSync(to, { bigint: true });
  if (placed.ino !== stat.ino) throw isAnother(to, known);
  return stampOf(placed);
}

/** By its descriptor: a link that somebody puts there now leads nowhere. */
function makeReadOnly(path: string, inode: bigint): void {
  const file = whenFilesAreFreeSync(() =>
    openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK),
  );
  try {
    if (fstatSync(file, { bigint: true }).ino === inode) fchmodSync(file, blobMode);
  } finally {
    closeSync(file);
  }
}

function isAnother(path: string, { size }: KnownBlob): ImageError<'STORE_CORRUPT'> {
  const message = `${show(path, 1024)} is not the file of ${size} bytes that was verified`;
  return new ImageError('STORE_CORRUPT', message, { path });
}

export function syncDirectory(path: string): void {
  const directory = whenFilesAreFreeSync(() => openSync(path, 'r'));
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
