import { rm } from 'node:fs/promises';
import { basename } from 'node:path';

import { isImageError } from '../errors.ts';
import type { Limits } from '../image/limits.ts';
import { ingestLimits } from '../pool/ingest-limits.ts';
import type { ImagesContext } from './check-blob.ts';
import { inParallel } from './in-parallel.ts';

export type RelistRequest = {
  readonly limits: Limits;
  /** Blobs read at once. */
  readonly width: number;
};

/**
 * Lists every whole image again among the blobs that no row names: for an index that is new because the old one was
 * damaged. How they were verified is not known any more, so they count as not verified.
 *
 * @returns how many were listed; what is no image, or not the one that its file is named for, stays as it was.
 */
export async function relistBlobs(
  context: ImagesContext,
  request: RelistRequest,
  signal: AbortSignal,
): Promise<number> {
  const { limits, width } = request;
  let count = 0;
  const visit = async (path: string): Promise<void> => {
    if (await relist(context, path, limits)) count += 1;
  };
  await inParallel(context.store.unreferenced(), width, visit, signal);
  return count;
}

async function relist({ store, pool }: ImagesContext, path: string, limits: Limits): Promise<boolean> {
  const image = store.temporaryPath();
  try {
    const { imageId, parsed, size, digest, manifest } = await pool.run('ingest', {
      source: { kind: 'file', path },
      shown: path,
      image,
      limits: ingestLimits({ ...limits, archive: limits.unpacked }),
    });
    if (imageId !== `sha512-${basename(path)}`) return false;
    const { name, labels, dependencies } = parsed;
    const known = { imageId, name, labels, dependencies, size, digest, source: path };
    await store.commit({ path: image, image: { ...known, latest: false, verified: false, weak: false }, manifest });
    return true;
  } catch (error) {
    if (isImageError(error) && /^(ARCHIVE|MANIFEST|LIMIT|FILE)_/.test(error.code)) return false;
    throw error;
  } finally {
    await rm(image, { force: true });
  }
}
