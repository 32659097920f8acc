import { asImageError, hasCode, type ImageError } from '../errors.ts';
import type { Store } from '../store/store.ts';
import type { Entry } from './list.ts';
import { entryKey, resolveEntries } from './resolve-image.ts';

/** The result for one image, or for a request that matches none. `bytes` is the space that was freed. */
export type Removal =
  | { readonly kind: 'removed'; readonly entry: Entry; readonly bytes: number }
  | { readonly kind: 'failed'; readonly asked: string; readonly error: ImageError };

/**
 * Unlists images and removes the blobs that nothing else needs. A request is an ID, a digest, or a name with labels,
 * which matches all such images. All requests are looked up first, so that an image that two of them match is removed
 * once. A failure does not stop the rest.
 */
export async function* removeImages(store: Store, requests: Iterable<string>): AsyncGenerator<Removal> {
  const matched = new Map<string, { readonly asked: string; readonly entry: Entry }>();
  for (const asked of requests) {
    try {
      for (const entry of await resolveEntries(store, asked)) matched.set(entryKey(entry), { asked, entry });
    } catch (error) {
      yield { kind: 'failed', asked, error: asImageError(error) };
    }
  }
  for (const { asked, entry } of matched.values()) {
    try {
      yield { kind: 'removed', entry, bytes: await removeEntry(store, entry) };
    } catch (error) {
      yield { kind: 'failed', asked, error: asImageError(error) };
    }
  }
}

/**
 * Unlists one entry: a registry image together with the image that it was converted to, unless that belongs to another
 * reference as well.
 *
 * @returns bytes freed. @throws NOT_IN_STORE
 */
export async function removeEntry(store: Store, entry: Entry): Promise<number> {
  if (entry.kind === 'image') return store.remove(entry.id);
  const { reference, imageId } = entry.image;
  const bytes = await store.removeRegistryImage(reference);
  if (imageId === undefined || (await store.registryImagesOf(imageId)).length > 0) return bytes;
  const ofArchive = await store.remove(imageId).catch((error: unknown) => {
    if (hasCode(error, 'NOT_IN_STORE')) return 0; // another process has removed it
    throw error;
  });
  return bytes + ofArchive;
}
