import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

import { isNoEntry } from '../system/errno.ts';
import { ociIndexBytes, parseOciIndex, unreadableOciIndex, type OciDescriptor } from '../image/oci-index.ts';

/** What an `index.json` names; nothing where there is none. @throws STORE_CORRUPT when it cannot be read */
export async function readOciIndex(path: string): Promise<readonly OciDescriptor[]> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK); // it may be a pipe
    const stat = await file.stat();
    if (!stat.isFile()) throw new Error('it is no regular file');
    if (stat.size > ociIndexBytes) throw new Error(`it has more than ${ociIndexBytes} bytes`);
    return parseOciIndex(await file.readFile('utf8')).manifests;
  } catch (error) {
    if (isNoEntry(error)) return [];
    throw unreadableOciIndex(path, error);
  }
}
