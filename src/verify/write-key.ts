import { randomBytes } from 'node:crypto';
import { chmod, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { makeDirectories } from '../system/directory.ts';
import { systemFailure, whyFailed } from '../system/errno.ts';
import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';

/**
 * Writes a key file or a mask so that it is there whole or not at all, and stays there. Directories get mode 0755 and
 * the file 0644, whatever the umask: keys are read by other users.
 *
 * @throws STORE_FULL, STORE_READ_ONLY or FILE_UNREADABLE.
 */
export async function writeKey(path: string, content: Uint8Array): Promise<void> {
  const directory = dirname(path);
  const temporary = join(directory, `.${randomBytes(8).toString('hex')}.tmp`);
  try {
    await makeDirectory(directory);
    await using file = await open(temporary, 'wx', 0o600);
    await file.writeFile(content);
    await file.chmod(0o644);
    await file.sync();
    await rename(temporary, path);
    await syncDirectory(directory);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined); // it may never have been there
    throw keyWriteError(path, error);
  }
}

/** Makes what is missing of a path, and syncs each name that is new. */
async function makeDirectory(path: string): Promise<void> {
  const first = await makeDirectories(path, 0o755);
  if (first === undefined) return;
  for (let made = path; made.length >= first.length; made = dirname(made)) {
    await chmod(made, 0o755);
    await syncDirectory(dirname(made));
  }
}

export async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r');
  await directory.sync();
}

export function keyWriteError(path: string, error: unknown): ImageError {
  const failure = systemFailure(error);
  const why = show(whyFailed(error), 4096);
  const message = `trusted keys can't be written: ${show(path, 4096)}: ${why}`;
  if (failure?.cause === 'full') return new ImageError('STORE_FULL', message, { path }, { cause: error });
  if (failure?.cause === 'denied') return new ImageError('STORE_READ_ONLY', message, { path }, { cause: error });
  const details = { path, ...(failure && { errno: failure.errno }) };
  return new ImageError('FILE_UNREADABLE', message, details, { cause: error });
}
