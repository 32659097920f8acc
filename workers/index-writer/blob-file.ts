import { chmodSync, closeSync, fsyncSync, lstatSync, openSync, renameSync } from 'node:fs';

import { ImageError } from '../../src/errors.ts';
import { show } from '../../src/image/show.ts';
import { whenFilesAreFreeSync } from '../../src/system/spare-files.ts';

const blobMode = 0o444;

/** What the index remembers of a blob that is good. */
export type BlobStamp = { readonly mtimeNs: bigint; readonly inode: bigint };

/** @throws STORE_CORRUPT when it is not a file of that size. */
export function readStamp(path: string, size: number): BlobStamp {
  const stat = lstatSync(path, { bigint: true });
  if (!stat.isFile() || stat.size !== BigInt(size)) {
    throw new ImageError('STORE_CORRUPT', `${show(path, 1024)} is not a file of ${size} bytes`, { path });
  }
  return { mtimeNs: stat.mtimeNs, inode: stat.ino };
}

/** Whether the file is the one that the index remembers. */
export function isIntact(path: string, known: BlobStamp & { readonly size: number }): boolean {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (!stat?.isFile()) return false;
  return stat.size === BigInt(known.size) && stat.mtimeNs === known.mtimeNs && stat.ino === known.inode;
}

/**
 * Puts a verified file in its place. What is there already is replaced: it may be damaged, the new one is not; who reads
 * the old one reads on.
 */
export function placeBlob(from: string, to: string, size: number): BlobStamp {
  const stamp = readStamp(from, size);
  chmodSync(from, blobMode); // whatever the umask took from it
  renameSync(from, to);
  return stamp;
}

export function syncDirectory(path: string): void {
  const directory = whenFilesAreFreeSync(() => openSync(path, 'r'));
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
