import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';

import { isImageError } from '../src/errors.ts';
import { fileUnreadable, readError } from './read-error.ts';

const readBytes = 1024 * 1024;

/** Opens a regular file; a pipe without a writer does not hold it up. @throws FILE_NOT_FOUND, FILE_UNREADABLE */
export async function openFile(path: string, shown: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: unknown) => {
    throw readError(error, shown);
  });
  const stats = await file.stat();
  if (stats.isFile()) return file;
  await file.close();
  throw fileUnreadable(shown, stats.isDirectory() ? 'it is a directory' : 'it is not a regular file');
}

/**
 * A file from its start, in chunks of up to 1 MiB, each valid until the next one is asked for.
 *
 * @param available - resolves to how many bytes there are in all, once there are more than those; the same number is
 * the end. Absent: the end of the file is.
 * @throws FILE_UNREADABLE, also when the file is shorter than `available` said; what `available` throws
 */
export async function* readChunks(
  file: FileHandle,
  shown: string,
  available?: (known: number) => Promise<number>,
): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(readBytes);
  for (let at = 0; ;) {
    const end = available ? await available(at) : Infinity;
    if (end <= at) return;
    const wanted = Math.min(buffer.length, end - at);
    const { bytesRead } = await file.read(buffer, 0, wanted, at).catch((error: unknown) => {
      throw isImageError(error) ? error : readError(error, shown);
    });
    if (bytesRead === 0 && !available) return;
    if (bytesRead === 0)
      throw fileUnreadable(shown, `the file ends at byte ${at}, before the ${end} that were written`);
    yield buffer.subarray(0, bytesRead);
    at += bytesRead;
  }
}
