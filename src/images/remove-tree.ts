import { chmod, readdir, rm } from 'node:fs/promises';

import { errnoOf } from '../system/errno.ts';

/** Removes a directory and all below it, if it is there, also directories that their modes would keep us out of. */
export async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    if (!['EACCES', 'EPERM', 'ENOTEMPTY'].includes(errnoOf(error) ?? '')) throw error;
    await openUp(Buffer.from(path));
    await rm(path, { recursive: true, force: true });
  }
}

/** Paths are bytes: not every name is UTF-8. */
async function openUp(directory: Buffer): Promise<void> {
  await chmod(directory, 0o700);
  for (const entry of await readdir(directory, { withFileTypes: true, encoding: 'buffer' })) {
    if (entry.isDirectory()) await openUp(Buffer.concat([directory, Buffer.from('/'), entry.name]));
  }
}
