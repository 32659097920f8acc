import { hasCode, ImageError } from '../errors.ts';
import { shortImageId } from '../image/image-id.ts';
import { abortable } from '../pool/abortable.ts';
import type { Pool } from '../pool/pool.ts';
import type { Store, StoredImage } from '../store/store.ts';

/** What lives as long as a command: the store it works on and the threads that hash. */
export type ImagesContext = { readonly store: Store; readonly pool: Pool };

export type BlobProblem = 'missing' | 'wrong size' | 'wrong hash' | 'unreadable';

/** The image and, when it is not the blob itself that is to be read, the path of a copy. */
export type BlobCheck = { readonly image: StoredImage; readonly path?: string };

/**
 * Reads a whole file in a worker: the image's blob, or a copy of it.
 *
 * @returns what is wrong with it, or undefined when it is the image it should be.
 */
export async function checkBlob(
  { store, pool }: ImagesContext,
  { image: { imageId, size }, path = store.blobPath(imageId) }: BlobCheck,
  signal: AbortSignal,
): Promise<BlobProblem | undefined> {
  try {
    const { hex, bytes } = await abortable(pool.run('reHash', { path, algorithm: 'sha512' }), signal);
    if (bytes !== size) return 'wrong size';
    return `sha512-${hex}` === imageId ? undefined : 'wrong hash';
  } catch (error) {
    if (hasCode(error, 'FILE_NOT_FOUND')) return 'missing';
    if (hasCode(error, 'FILE_UNREADABLE')) return 'unreadable';
    throw error;
  }
}

/** As checkBlob, for callers who need the bytes. @throws STORE_CORRUPT with the path of the blob. */
export async function requireSound(context: ImagesContext, check: BlobCheck, signal: AbortSignal): Promise<void> {
  const problem = await checkBlob(context, check, signal);
  if (problem) throw corrupt(context.store, check.image, problem);
}

export function corrupt(store: Store, { imageId }: StoredImage, problem: BlobProblem): ImageError {
  return new ImageError('STORE_CORRUPT', `the blob of ${shortImageId(imageId)} is damaged: ${problem}`, {
    path: store.blobPath(imageId),
  });
}
