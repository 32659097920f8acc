import { basename } from 'node:path';

import { hasCode, isImageError } from '../errors.ts';
import type { ImageId } from '../image/image-id.ts';
import { defaultLimits } from '../image/limits.ts';
import { abortable } from '../pool/abortable.ts';
import { ingestLimits } from '../pool/ingest-limits.ts';
import { stampFile } from '../system/stamp.ts';
import type { ImagesContext } from './check-blob.ts';
import { inParallel } from './in-parallel.ts';

/** What was taken in once is taken again, however large. */
const limits = { ...defaultLimits, archive: Number.MAX_SAFE_INTEGER, unpacked: Number.MAX_SAFE_INTEGER };

/**
 * Lists every whole image again among the blobs that no row names: the index that named them may be lost, or may be an older
 * one. Nothing is copied. How they were verified is not known any more, so they count as not verified.
 *
 * @param width - blobs read at once.
 * @returns those that were listed; what is no image, or not the one that its file is named for, stays as it was.
 */
export async function relistBlobs(
  context: ImagesContext,
  width: number,
  signal: AbortSignal,
): Promise<ReadonlySet<ImageId>> {
  const listed = new Set<ImageId>();
  const visit = async (path: string): Promise<void> => {
    const imageId = await relist(context, path, signal);
    if (imageId !== undefined) listed.add(imageId);
  };
  await inParallel(context.store.unreferenced(), width, visit, signal);
  return listed;
}

async function relist({ store, pool }: ImagesContext, path: string, signal: AbortSignal): Promise<ImageId | undefined> {
  const found = stampFile(path);
  if (!found) return undefined;
  try {
    const request = { source: { kind: 'file', path }, shown: path, limits: ingestLimits(limits) } as const;
    const { imageId, parsed, size, digest, manifest } = await abortable(pool.run('readImage', request), signal);
    if (imageId !== `sha512-${basename(path)}`) return undefined;
    const { name, labels, dependencies } = parsed;
    const known = { imageId, name, labels, dependencies, size, digest, source: path };
    const image = { ...known, latest: false, verified: false, weak: false } as const;
    await store.relist({ image, manifest, stamp: found.stamp });
    return imageId;
  } catch (error) {
    if (isImageError(error) && /^(?:ARCHIVE|MANIFEST|NAME|LABEL|LIMIT|FILE)_/.test(error.code)) return undefined;
    if (hasCode(error, 'STORE_CORRUPT') && error.details.path === path) return undefined; // somebody replaced it meanwhile
    throw error;
  }
}
