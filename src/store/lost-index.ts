import { dirname, join } from 'node:path';

import { ImageError } from '../errors.ts';
import { imageBlobName, registryBlobName } from '../image/blob-name.ts';
import { isDigest, type Digest } from '../image/digest.ts';
import { isImageId, type ImageId } from '../image/image-id.ts';
import { isOfOtherTools } from '../image/oci-index.ts';
import { show } from '../image/show.ts';
import { hasName, namesIn } from '../system/directory.ts';
import type { Layout } from '../../workers/index-writer/protocol.ts';
import { storeLayout } from './layout.ts';
import { readOciIndex } from './read-oci-index.ts';
import type { Reader } from './reader.ts';
import { stampFile } from '../system/stamp.ts';

/** Whether blobs lie there that an index must have listed: those of a layout that another tool made are none. */
export async function holdsOurBlobs({ blobs, registryBlobs, ociIndex }: Layout): Promise<boolean> {
  if (hasName(blobs, imageBlobName)) return true;
  return hasName(registryBlobs, registryBlobName) && !(await isForeignIndex(ociIndex));
}

async function isForeignIndex(path: string): Promise<boolean> {
  const index = await readOciIndex(path).catch(() => undefined); // it cannot be told
  return index !== undefined && isOfOtherTools(index);
}

/** Whether a repair has begun the index anew, and has not yet listed again what it can. */
export async function isRelisting(reader: Reader): Promise<boolean> {
  return (await reader.prepare('SELECT relisting FROM generation').get())?.['relisting'] === 1;
}

/** @param path - of the index. */
export function lostIndex(path: string): ImageError<'STORE_CORRUPT'> {
  const message = `${show(path, 1024)} is lost or empty, and there are blobs: have them listed again with "longshore image verify --repair"`;
  return new ImageError('STORE_CORRUPT', message, { path });
}

/** A blob by what its file is called; nothing says that it is that. */
export type LostBlob = { readonly id: ImageId | Digest; readonly size: number };

/**
 * The blobs of a store whose index cannot be read.
 *
 * @param path - what could not be read: there are none unless it is the index.
 */
export async function* lostBlobs(path: string): AsyncGenerator<LostBlob> {
  const { index, blobs, registryBlobs } = storeLayout(dirname(path), 0);
  if (path !== index) return;
  for (const [directory, prefix] of [
    [blobs, 'sha512-'],
    [registryBlobs, 'sha256:'],
  ] as const) {
    for await (const name of namesIn(directory)) {
      const id = prefix + name;
      if (!isImageId(id) && !isDigest(id)) continue;
      const found = stampFile(join(directory, name));
      if (found) yield { id, size: found.size };
    }
  }
}
