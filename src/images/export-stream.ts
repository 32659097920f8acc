import { open, stat } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import { errnoOf } from '../store/errno.ts';
import type { StoredImage } from '../store/store.ts';
import { corrupt, requireSound, type ImagesContext } from './check-blob.ts';

/**
 * Writes the uncompressed image to a stream, which stays open. What is written cannot be taken back, so the blob is
 * hashed first, and the very file that was hashed is sent.
 *
 * @throws STORE_CORRUPT before the first byte when the blob is damaged.
 */
export async function exportToStream(
  context: ImagesContext,
  image: StoredImage,
  output: Writable,
  signal: AbortSignal,
): Promise<void> {
  const { store } = context;
  const path = store.blobPath(image.imageId);
  await using file = await open(path).catch((error: unknown) => {
    throw corrupt(store, image, errnoOf(error) === 'ENOENT' ? 'missing' : 'unreadable');
  });
  await requireSound(context, { image }, signal);
  const [opened, hashed] = await Promise.all([file.stat({ bigint: true }), stat(path, { bigint: true })]);
  if (opened.ino !== hashed.ino || opened.mtimeNs !== hashed.mtimeNs) throw corrupt(store, image, 'wrong hash');
  store.touch(image.imageId);
  await pipeline(file.createReadStream({ highWaterMark: 1024 * 1024, autoClose: false }), output, {
    end: false,
    signal,
  });
}
