import { asImageError, type ImageError } from '../errors.ts';
import type { Store } from '../store/store.ts';
import type { Entry } from './list.ts';
import { resolveEntries } from './resolve-image.ts';

/** How one image ended, or a request that names none. `bytes` is what removing it gave back. */
export type Removal =
  | { readonly kind: 'removed'; readonly entry: Entry; readonly bytes: number }
  | { readonly kind: 'failed'; readonly asked: string; readonly error: ImageError };

/**
 * Takes images off the list and removes the blobs that nothing else needs: those of the IDs and digests, and every one
 * that matches a name and the labels given with it. All requests are looked up first, so an image that two of them mean
 * is removed once; a failure does not stop the rest. An image that was made of a registry's goes without it, and the
 * other way round.
 */
export async function* removeImages(store: Store, requests: Iterable<string>): AsyncGenerator<Removal> {
  const meant = new Map<string, { readonly asked: string; readonly entry: Entry }>();
  for (const asked of requests) {
    try {
      for (const entry of await resolveEntries(store, asked)) meant.set(entryKey(entry), { asked, entry });
    } catch (error) {
      yield { kind: 'failed', asked, error: asImageError(error) };
    }
  }
  for (const { asked, entry } of meant.values()) {
    try {
      yield { kind: 'removed', entry, bytes: await removeEntry(store, entry) };
    } catch (error) {
      yield { kind: 'failed', asked, error: asImageError(error) };
    }
  }
}

/** Takes one off the list. @returns bytes given back. @throws NOT_IN_STORE */
export function removeEntry(store: Store, entry: Entry): Promise<number> {
  return entry.kind === 'image' ? store.remove(entry.id) : store.removeRegistryImage(entry.image.reference);
}

/** What tells an entry from all others: several references of a registry may have one digest. */
function entryKey(entry: Entry): string {
  return entry.kind === 'image' ? entry.id : entry.image.reference;
}
