import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

import { whenFilesAreFree, whenFilesAreFreeSync } from './spare-files.ts';

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
    const { bytesWritten } = await file.writev(rest, position);
    if (bytesWritten === 0) throw new Error('a write wrote no bytes');
    onWritten(bytesWritten);
    position += bytesWritten;
    rest = dropBytes(rest, bytesWritten);
  }
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
  for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
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
