import { createHash } from 'node:crypto';

import { hasCode, ImageError, isImageError } from '../../src/errors.ts';
import { shortImageId } from '../../src/image/image-id.ts';
import { openFile, readChunks } from '../read-file.ts';
import type { ExtractLayer } from '../tasks.ts';

/** What takes a tar and can refuse it; an ArchiveChecker is one. */
export type Reading = { push(chunk: Uint8Array): void; end(): unknown };

/**
 * Hands the tar of an image to `reading`, and hashes it as it passes. What `reading` throws waits until the hash has
 * said whether the blob is to blame.
 *
 * @param check - throws when there is no point in going on.
 * @throws STORE_CORRUPT when the blob is not there or not the image; else what `reading` threw
 */
export async function readBlob(layer: ExtractLayer, reading: Reading, check: () => void): Promise<void> {
  const hash = createHash('sha512');
  let bytes = 0;
  let failure: ImageError | undefined;
  for await (const chunk of chunksOf(layer)) {
    check();
    hash.update(chunk);
    bytes += chunk.length;
    if (bytes > layer.size) break;
    failure ??= failureOf(() => reading.push(chunk));
  }
  if (bytes !== layer.size) throw corrupt(layer, 'wrong size', failure);
  if (`sha512-${hash.digest('hex')}` !== layer.imageId) throw corrupt(layer, 'wrong hash', failure);
  failure ??= failureOf(() => reading.end());
  if (failure) throw failure;
}

/** The same without the hash, for a first look: ends early at what `reading` refuses. @throws STORE_CORRUPT */
export async function skimBlob(layer: ExtractLayer, reading: Reading, check: () => void): Promise<void> {
  for await (const chunk of chunksOf(layer)) {
    check();
    if (failureOf(() => reading.push(chunk))) return;
  }
}

async function* chunksOf(layer: ExtractLayer): AsyncGenerator<Uint8Array> {
  try {
    await using file = await openFile(layer.blob, layer.blob);
    yield* readChunks(file, layer.blob);
  } catch (error) {
    if (hasCode(error, 'FILE_NOT_FOUND')) throw corrupt(layer, 'missing', error);
    if (hasCode(error, 'FILE_UNREADABLE')) throw corrupt(layer, 'unreadable', error);
    throw error;
  }
}

function failureOf(work: () => unknown): ImageError | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (isImageError(error)) return error;
    throw error;
  }
}

function corrupt({ imageId, blob }: ExtractLayer, problem: string, cause: ImageError | undefined): ImageError {
  const message = `the blob of ${shortImageId(imageId)} is damaged: ${problem}`;
  return new ImageError('STORE_CORRUPT', message, { path: blob }, { cause });
}
