import { createHash } from 'node:crypto';
import { closeSync, constants, read } from 'node:fs';
import { promisify } from 'node:util';

import { ImageError, isImageError } from '../../src/errors.ts';
import { readError } from '../../src/image/file-error.ts';
import { errnoOf } from '../../src/system/errno.ts';
import { openRegularSync } from '../../src/system/files.ts';
import { whenFilesAreFree } from '../../src/system/spare-files.ts';
import type { Handler } from '../tasks.ts';

const readBytes = 1024 * 1024;

/**
 * A file that a thread reads. Node closes the descriptors that a thread has when it dies, but not one that is just being opened or
 * closed by an asynchronous call.
 */
export type OpenedFile = AsyncDisposable & {
  readonly fd: number;
  read(buffer: Buffer, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
  close(): Promise<void>;
};

/** Opens a file of ours. Links are not followed. @throws FILE_NOT_FOUND, FILE_UNREADABLE */
export function openFile(path: string, shown: string): Promise<OpenedFile> {
  return open(path, shown, constants.O_RDONLY | constants.O_NOFOLLOW);
}

/** Opens a regular file that a user named. @throws FILE_NOT_FOUND, FILE_UNREADABLE */
export function openNamedFile(path: string, shown: string): Promise<OpenedFile> {
  return open(path, shown, constants.O_RDONLY);
}

const readDescriptor = promisify(read);

async function open(path: string, shown: string, flags: number): Promise<OpenedFile> {
  try {
    return guardDescriptor(await whenFilesAreFree(() => openRegularSync(path, flags)));
  } catch (error) {
    switch (errnoOf(error)) {
      case 'EISDIR':
        throw fileUnreadable(shown, 'it is a directory', error);
      case 'EFTYPE':
        throw fileUnreadable(shown, 'it is not a regular file', error);
      case 'ELOOP':
        throw fileUnreadable(shown, 'it is a symbolic link', error);
      default:
        throw readError(error, shown);
    }
  }
}

/** The number of a descriptor that is closed is soon that of another file: nothing reads it then, and it is closed once. */
function guardDescriptor(descriptor: number): OpenedFile {
  let reading: Promise<unknown> | undefined;
  let closing: Promise<void> | undefined;
  const end = async (): Promise<void> => {
    await reading?.catch(() => undefined);
    closeSync(descriptor);
  };
  const closeOnce = (): Promise<void> => (closing ??= end());
  return {
    fd: descriptor,
    async read(...part) {
      if (closing) throw new Error('the file was closed');
      const result = readDescriptor(descriptor, ...part);
      reading = result;
      return result;
    },
    close: closeOnce,
    [Symbol.asyncDispose]: closeOnce,
  };
}

/**
 * Reads a file from its start, in chunks of up to 1 MiB. Each chunk is valid until the next is requested.
 *
 * @param available - resolves with the number of bytes that exist once it is greater than its argument; the same number
 * means the end. Without it, the file is read to its end.
 * @throws FILE_UNREADABLE, also when the file is shorter than `available` said; what `available` throws
 */
export async function* readChunks(
  file: OpenedFile,
  shown: string,
  available?: (known: number) => Promise<number>,
  buffer = Buffer.allocUnsafeSlow(readBytes),
): AsyncGenerator<Uint8Array> {
  for (let at = 0; ;) {
    const end = available ? await available(at) : Infinity;
    if (end <= at) return;
    const length = Math.min(buffer.length, end - at);
    const { bytesRead } = await file.read(buffer, 0, length, at).catch((error: unknown) => {
      throw isImageError(error) ? error : readError(error, shown);
    });
    if (bytesRead === 0 && !available) return;
    if (bytesRead === 0)
      throw fileUnreadable(shown, `the file ends at byte ${at}, before the ${end} that were written`);
    yield buffer.subarray(0, bytesRead);
    at += bytesRead;
  }
}

export function fileUnreadable(path: string, what: string, cause?: unknown): ImageError<'FILE_UNREADABLE'> {
  return new ImageError('FILE_UNREADABLE', what, { path }, { cause });
}

/** Memory of files that have been hashed, for the next ones: it would be collected late, since little else is made here. */
const spareBuffers: Buffer<ArrayBuffer>[] = [];

/** Hashes a whole file. @throws FILE_NOT_FOUND, FILE_UNREADABLE */
export const reHash: Handler<'reHash'> = async ({ path, algorithm }) => {
  await using file = await openFile(path, path);
  const hash = createHash(algorithm);
  let bytes = 0;
  const buffer = spareBuffers.pop() ?? Buffer.allocUnsafeSlow(readBytes);
  try {
    for await (const chunk of readChunks(file, path, undefined, buffer)) {
      hash.update(chunk);
      bytes += chunk.length;
    }
  } finally {
    spareBuffers.push(buffer);
  }
  return { hex: hash.digest('hex'), bytes };
};
