import { open } from 'node:fs/promises';

import { whenFilesAreFree } from '../system/spare-files.ts';

/** Makes the names in a directory survive a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  await using directory = await whenFilesAreFree(() => open(path));
  await directory.sync();
}
