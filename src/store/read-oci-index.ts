import { isNoEntry } from '../system/errno.ts';
import { openOwnFile, readAtMost } from '../system/files.ts';
import { ociIndexBytes, parseOciIndex, unreadableOciIndex, type OciDescriptor } from '../image/oci-index.ts';

/** What an `index.json` names; nothing where there is none. @throws STORE_CORRUPT when it cannot be read */
export async function readOciIndex(path: string): Promise<readonly OciDescriptor[]> {
  try {
    await using file = await openOwnFile(path);
    const bytes = await readAtMost(file, ociIndexBytes + 1);
    if (bytes.length > ociIndexBytes) throw new Error(`it has more than ${ociIndexBytes} bytes`);
    return parseOciIndex(bytes.toString()).manifests;
  } catch (error) {
    if (isNoEntry(error)) return [];
    throw unreadableOciIndex(path, error);
  }
}
