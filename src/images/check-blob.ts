import { hasCode, ImageError } from '../errors.ts';
import type { Digest } from '../image/digest.ts';
import { isImageId, shortId, type ImageId } from '../image/image-id.ts';
import { abortable } from '../pool/abortable.ts';
import type { Pool } from '../pool/pool.ts';
import type { Store } from '../store/store.ts';

/** What lives as long as a command: the store it works on and the threads that hash. */
export type ImagesContext = { readonly store: Store; readonly pool: Pool };

export type BlobProblem = 'missing' | 'wrong size' | 'wrong hash' | 'unreadable';

/** A blob, whose ID says its hash, and its bytes. */
export type Blob = { readonly id: ImageId | Digest; readonly size: number };
/** `path` is that of a copy, when it is not the blob itself that is to be read. */
export type BlobCheck = Blob & { readonly path?: string };

export function blobPathOf(store: Store, id: ImageId | Digest): string {
  return isImageId(id) ? store.blobPath(id) : store.digestPath(id);
}

/**
 * Reads a whole file in a worker: a blob, or a copy of it.
 *
 * @returns what is wrong with it, or undefined when it is what it should be.
 */
export async function checkBlob(
  { store, pool }: ImagesContext,
  { id, size, path = blobPathOf(store, id) }: BlobCheck,
  signal: AbortSignal,
): Promise<BlobProblem | undefined> {
  const algorithm = isImageId(id) ? 'sha512' : 'sha256';
  try {
    const { hex, bytes } = await abortable(pool.run('reHash', { path, algorithm }), signal);
    if (bytes !== size) return 'wrong size';
    return id.slice('sha512-'.length) === hex ? undefined : 'wrong hash'; // both algorithms have names of one length
  } catch (error) {
    if (hasCode(error, 'FILE_NOT_FOUND')) return 'missing';
    if (hasCode(error, 'FILE_UNREADABLE')) return 'unreadable';
    throw error;
  }
}

/** As checkBlob, for callers who need the bytes. @throws STORE_CORRUPT with the path of the blob. */
export async function requireSound(context: ImagesContext, check: BlobCheck, signal: AbortSignal): Promise<void> {
  const problem = await checkBlob(context, check, signal);
  if (problem) throw corrupt(context.store, check, problem);
}

export function corrupt(store: Store, { id }: Pick<Blob, 'id'>, problem: BlobProblem): ImageError {
  const shown = shortId(id);
  return new ImageError('STORE_CORRUPT', `the blob of ${shown} is damaged: ${problem}`, {
    path: blobPathOf(store, id),
  });
}
