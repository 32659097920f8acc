import { open } from 'node:fs/promises';

import { whenFilesAreFree } from '../system/spare-files.ts';
import { inStore } from '../store/store-error.ts';

/** Resolves when the file's bytes survive a power cut. @throws STORE_FULL, STORE_READ_ONLY, STORE_CORRUPT */
export function syncFile(path: string): Promise<void> {
  return inStore(path, async () => {
    await using file = await whenFilesAreFree(() => open(path, 'r+'));
    await file.datasync();
  });
}
