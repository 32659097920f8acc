import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import type { StoredImage } from '../store/store.ts';
import type { ImagesContext } from './check-blob.ts';
import { hashBlob, openSound } from './sound-blob.ts';

/**
 * Writes the uncompressed image to a stream, which stays open. What is written cannot be taken back, so the blob is
 * hashed first, and the very file that was hashed is sent.
 *
 * @throws STORE_CORRUPT before the first byte when the blob is damaged.
 */
export async function exportToStream(
  context: ImagesContext,
  { imageId: id, size }: StoredImage,
  output: Writable,
  signal: AbortSignal,
): Promise<void> {
  const { store } = context;
  await using file = await openSound(store, await hashBlob(context, { id, size }, signal));
  store.touch(id);
  await pipeline(file.createReadStream({ highWaterMark: 1024 * 1024, autoClose: false }), output, {
    end: false,
    signal,
  });
}
