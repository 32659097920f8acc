import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

import { whenFilesAreFree, whenFilesAreFreeSync } from './spare-files.ts';

/**
 * The most bytes of one write. Larger ones take more, not less: on ext4 with large folios (Linux 6.18) one of 1 MiB took four times the
 * processor time of four of 256 KiB.
 */
export const maxWriteBytes = 256 * 1024;

/**
 * Writes chunks one after the other, from `position` on, with as many system calls as that takes.
 *
 * @param onWritten - called with the number of bytes after each system call, also if a later one fails.
 */
export async function writeAll(
  file: Pick<FileHandle, 'writev'>,
  chunks: readonly Uint8Array[],
  position: number,
  onWritten: (bytes: number) => void,
): Promise<void> {
  let rest = chunks.filter((chunk) => chunk.byteLength > 0);
  while (rest.length > 0) {
    const { bytesWritten } = await file.writev(firstBytes(rest, maxWriteBytes), position);
    if (bytesWritten === 0) throw new Error('a write wrote no bytes');
    onWritten(bytesWritten);
    position += bytesWritten;
    rest = dropBytes(rest, bytesWritten);
  }
}

function firstBytes(chunks: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let left = bytes;
  const taken: Uint8Array[] = [];
  for (const chunk of chunks) {
    if (left === 0) break;
    taken.push(chunk.byteLength > left ? chunk.subarray(0, left) : chunk);
    left -= Math.min(left, chunk.byteLength);
  }
  return taken;
}

function dropBytes(chunks: readonly Uint8Array[], bytes: number): Uint8Array[] {
  let left = bytes;
  return chunks.flatMap((chunk) => {
    const dropped = Math.min(left, chunk.byteLength);
    left -= dropped;
    return dropped === chunk.byteLength ? [] : [chunk.subarray(dropped)];
  });
}

/** For threads that may block: passing the write to another thread would take longer. */
export function writeAllSync(file: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at, Math.min(maxWriteBytes, bytes.length - at));
}

/** After so many bytes a sync begins in the background. */
const syncBytes = 32 * 1024 * 1024;

/**
 * Syncs a growing file from time to time, so that little remains at the end. At most one sync is under way.
 *
 * @param datasync - makes what the file has survive a power cut.
 */
export function syncWhileWritten(datasync: () => Promise<void>) {
  let unsynced = 0;
  let isSyncing = false;
  let synced = Promise.resolve();
  /** No sync follows one that has failed, since the system reports a failure only once. */
  const sync = (): Promise<void> => (synced = synced.then(datasync));
  const settled = (): Promise<void> => synced.catch(() => undefined);
  return {
    settled,
    wrote(bytes: number): void {
      unsynced += bytes;
      if (unsynced < syncBytes || isSyncing) return;
      unsynced = 0;
      isSyncing = true;
      void sync();
      void settled().then(() => (isSyncing = false));
    },
    end: sync,
  };
}

/** Makes the content of a file survive a power cut. */
export async function syncFile(path: string): Promise<void> {
  await using file = await whenFilesAreFree(() => open(path, 'r+'));
  await file.datasync();
}

/** Makes the names in a directory survive a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  await using directory = await whenFilesAreFree(() => open(path));
  await directory.sync();
}

/** As syncDirectory, for threads that may block. */
export function syncDirectorySync(path: string): void {
  const directory = whenFilesAreFreeSync(() => openSync(path, 'r'));
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
