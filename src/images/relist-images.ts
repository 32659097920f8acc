import type { ImageId } from '../image/image-id.ts';
import type { ImagesContext } from './check-blob.ts';
import { relistBlobs } from './relist-blobs.ts';
import { relistRegistryImages } from './relist-registry-images.ts';

export type Relisted = {
  /** All that are listed again. */
  readonly count: number;
  /** Those among them that are no registry's: each was read and hashed. */
  readonly images: ReadonlySet<ImageId>;
  /** Files that no image can be made of: they stay where they are. */
  readonly kept: readonly string[];
};

/**
 * Lists again, as not verified, what lies in the store and no row of the index tells of. From then on an index that was begun
 * anew counts as whole.
 *
 * @param width - blobs read at once.
 */
export async function relistImages(context: ImagesContext, width: number, signal: AbortSignal): Promise<Relisted> {
  const images = await relistBlobs(context, width, signal);
  const others = await relistRegistryImages(context, signal);
  const loose = await Array.fromAsync(context.store.unreferenced());
  await context.store.endRelisting();
  return { count: images.size + others.count, images, kept: [...loose, ...others.kept] };
}
