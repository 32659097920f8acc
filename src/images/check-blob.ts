import { type FileHandle, lstat } from 'node:fs/promises';

import { hasCode, ImageError } from '../errors.ts';
import type { Digest } from '../image/digest.ts';
import { type ImageId, isImageId, shortId } from '../image/image-id.ts';
import type { Pool } from '../pool/pool.ts';
import type { Store } from '../store/store.ts';
import { debugLog } from '../system/debug.ts';
import { errnoOf } from '../system/errno.ts';
import { openOwnFile, stampFile, stampText } from '../system/files.ts';
import { abortable } from '../system/single-flight.ts';

const debug = debugLog('images');

/** The store and the threads that a command works with. */
export type ImagesContext = { readonly store: Store; readonly pool: Pool };

export type BlobProblem = 'missing' | 'wrong size' | 'wrong hash' | 'unreadable';

/** A blob with its size. The ID contains the hash that it must have. */
export type ListedBlob = { readonly id: ImageId | Digest; readonly size: number };
/** `path` is that of a copy, if not the blob itself is to be read. */
type BlobCheck = ListedBlob & { readonly path?: string };

export function blobPathOf(store: Store, id: ImageId | Digest): string {
  return isImageId(id) ? store.blobPath(id) : store.digestPath(id);
}

/**
 * Reads a whole file in a worker: a blob or a copy of it.
 *
 * @returns the problem, or undefined when the content is right.
 */
export async function checkBlob(
  { store, pool }: ImagesContext,
  { id, size, path = blobPathOf(store, id) }: BlobCheck,
  signal: AbortSignal,
): Promise<BlobProblem | undefined> {
  const algorithm = isImageId(id) ? 'sha512' : 'sha256';
  debug(() => `${shortId(id)}: hashes ${size} bytes`);
  try {
    const { hex, bytes } = await abortable(pool.run('reHash', { path, algorithm }), signal);
    if (bytes !== size) return 'wrong size';
    return id.slice('sha512-'.length) === hex ? undefined : 'wrong hash'; // both prefixes have the same length
  } catch (error) {
    if (hasCode(error, 'FILE_NOT_FOUND')) return 'missing';
    if (hasCode(error, 'FILE_UNREADABLE')) return 'unreadable';
    throw error;
  }
}

/** Whether a repair leaves a damaged blob where it is: it may be good, or it is good and only the index has another size for it. */
export async function mayBeGood(
  context: ImagesContext,
  { id, problem }: Pick<ListedBlob, 'id'> & { readonly problem: BlobProblem },
  signal: AbortSignal,
): Promise<boolean> {
  if (problem !== 'wrong size') return problem === 'unreadable';
  const found = stampFile(blobPathOf(context.store, id));
  return found !== undefined && (await checkBlob(context, { id, size: found.size }, signal)) === undefined;
}

/** As checkBlob, but throws. @throws STORE_CORRUPT with the path of the blob. */
export async function requireSound(context: ImagesContext, check: BlobCheck, signal: AbortSignal): Promise<void> {
  const problem = await checkBlob(context, check, signal);
  if (problem) throw corrupt(context.store, check, problem);
}

export function corrupt(store: Store, { id }: Pick<ListedBlob, 'id'>, problem: BlobProblem): ImageError {
  const path = blobPathOf(store, id);
  return new ImageError('STORE_CORRUPT', `the blob of ${shortId(id)} is damaged: ${problem}`, { path });
}

/** A blob that was hashed and is intact. `stamp` identifies this state of the file. */
export type SoundBlob = ListedBlob & { readonly stamp: string };

/** Hashes a blob before its bytes are written to a place from where they cannot be removed. @throws STORE_CORRUPT */
export async function hashBlob(
  context: ImagesContext,
  { id, size }: ListedBlob,
  signal: AbortSignal,
): Promise<SoundBlob> {
  const stats = await orCorrupt(context.store, { id }, lstat(blobPathOf(context.store, id), { bigint: true }));
  await requireSound(context, { id, size }, signal);
  return { id, size, stamp: stampText(stats) };
}

/** Opens the file that was hashed. @throws STORE_CORRUPT when it has been replaced or changed. */
export async function openSound(store: Store, { id, stamp }: SoundBlob): Promise<FileHandle> {
  const file = await orCorrupt(store, { id }, openOwnFile(blobPathOf(store, id)));
  if (stampText(await file.stat({ bigint: true })) === stamp) return file;
  await file.close();
  throw corrupt(store, { id }, 'wrong hash');
}

async function orCorrupt<T>(store: Store, blob: Pick<ListedBlob, 'id'>, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw corrupt(store, blob, errnoOf(error) === 'ENOENT' ? 'missing' : 'unreadable');
  }
}

/**
 * Visits every item, `width` at a time. After the first failure or an abort no new visit starts; the promise settles
 * once the running visits have ended.
 */
export async function inParallel<T>(
  items: AsyncIterable<T> | Iterable<T>,
  width: number,
  visit: (item: T, position: number) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  // All lanes share one generator. It hands each item to one lane, and a lane that throws closes it for all.
  const source = numbered(items);
  const lane = async (): Promise<void> => {
    for await (const [item, position] of source) {
      signal.throwIfAborted();
      await visit(item, position);
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: width }, lane));
  const failed = lanes.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}

async function* numbered<T>(items: AsyncIterable<T> | Iterable<T>): AsyncGenerator<[T, number]> {
  let position = 0;
  for await (const item of items) yield [item, position++];
}
