import { closeSync, constants, fchmodSync, fdatasync, fstatSync, openSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { promisify } from 'node:util';

import { storeFileError } from '../../src/image/file-error.ts';
import { type FileStamp, stampOf } from '../../src/system/files.ts';
import { whenFilesAreFree } from '../../src/system/spare-files.ts';
import { syncWhileWritten, writeAllSync } from '../../src/system/write-files.ts';

const datasync = promisify(fdatasync);

const finalMode = 0o444;

export type Filled<T> = { readonly result: T; readonly stamp: FileStamp };

/** Writes a chunk at the end of the file. Afterwards the caller may reuse the chunk. */
export type Write = (chunk: Uint8Array) => void;

/**
 * Makes a new file, which `fill` fills. It is removed if `fill` fails. Otherwise it gets mode 0444, whatever the umask,
 * and is synced unless the process alone needs it.
 *
 * @returns the result of `fill`, and the stamp of the file, from its descriptor.
 * @throws STORE_FULL, STORE_READ_ONLY, STORE_CORRUPT; what `fill` throws
 */
export async function withOutput<T>(
  path: string,
  fill: (write: Write) => Promise<T>,
  { sync = true } = {},
): Promise<Filled<T>> {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const open = (): number => openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  const file = await whenFilesAreFree(open).catch((error: unknown) => {
    throw storeFileError(error, path);
  });
  try {
    return await fillFile(file, path, fill, sync);
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

async function fillFile<T>(
  file: number,
  path: string,
  fill: (write: Write) => Promise<T>,
  sync: boolean,
): Promise<Filled<T>> {
  const disk = sync ? syncWhileWritten(() => datasync(file)) : undefined;
  try {
    const result = await fill((chunk) => {
      inStore(path, () => writeAllSync(file, chunk));
      disk?.wrote(chunk.length);
    });
    const stamp = inStore(path, () => {
      fchmodSync(file, finalMode);
      return stampOf(fstatSync(file, { bigint: true }));
    });
    await disk?.end().catch((error: unknown) => {
      throw storeFileError(error, path);
    });
    return { result, stamp };
  } finally {
    await disk?.settled();
    inStore(path, () => closeSync(file));
  }
}

function inStore<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw storeFileError(error, path);
  }
}
