import { lstatSync, type BigIntStats } from 'node:fs';

/** Tells one state of one file from all others, together with its size. */
export type FileStamp = { readonly mtimeNs: bigint; readonly ctimeNs: bigint; readonly inode: bigint };

export function stampOf({ mtimeNs, ctimeNs, ino }: BigIntStats): FileStamp {
  return { mtimeNs, ctimeNs, inode: ino };
}

/** A regular file as it stands now; undefined for everything else. */
export function stampFile(path: string): { readonly size: number; readonly stamp: FileStamp } | undefined {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return stat?.isFile() ? { size: Number(stat.size), stamp: stampOf(stat) } : undefined;
}
