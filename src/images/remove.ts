import { asImageError, type ImageError } from '../errors.ts';
import type { ImageId } from '../image/image-id.ts';
import type { Store, StoredImage } from '../store/store.ts';
import { resolveImages } from './resolve-image.ts';

/** How one image ended, or a request that names none. `bytes` is what removing it gave back. */
export type Removal =
  | { readonly kind: 'removed'; readonly image: StoredImage; readonly bytes: number }
  | { readonly kind: 'failed'; readonly asked: string; readonly error: ImageError };

/**
 * Takes images off the list and removes their blobs: those of the IDs, and every one that matches a name and the labels
 * given with it. All requests are looked up first, so an image that two of them mean is removed once; a failure does
 * not stop the rest.
 */
export async function* removeImages(store: Store, requests: Iterable<string>): AsyncGenerator<Removal> {
  const meant = new Map<ImageId, { readonly asked: string; readonly image: StoredImage }>();
  for (const asked of requests) {
    try {
      for (const image of await resolveImages(store, asked)) meant.set(image.imageId, { asked, image });
    } catch (error) {
      yield { kind: 'failed', asked, error: asImageError(error) };
    }
  }
  for (const { asked, image } of meant.values()) {
    try {
      yield { kind: 'removed', image, bytes: await store.remove(image.imageId) };
    } catch (error) {
      yield { kind: 'failed', asked, error: asImageError(error) };
    }
  }
}
