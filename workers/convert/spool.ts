import { open, rm, type FileHandle } from 'node:fs/promises';

import { raiseStoreError } from '../output.ts';

/**
 * A new file to write and read, which is gone as soon as it is closed, however the process ends.
 *
 * @param path - must not exist; taken for a moment.
 * @throws STORE_FULL, STORE_READ_ONLY, STORE_CORRUPT
 */
export async function openSpool(path: string): Promise<FileHandle> {
  const file = await open(path, 'wx+', 0o600).catch(raiseStoreError(path));
  await rm(path);
  return file;
}
