import { hasCode } from '../errors.ts';
import { storeLayout } from '../store/layout.ts';
import { setAsideMisplaced } from '../store/misplaced.ts';
import { openStore } from '../store/open-store.ts';
import { setAsideIndex } from '../store/set-aside-index.ts';
import type { Store } from '../store/store.ts';

/** `setAside`: where a damaged index is now, or what was left of a lost one. */
export type Repaired = { readonly store: Store; readonly setAside?: string };

/**
 * Opens a store for writing, its index readable from end to end: a damaged one makes way for a new one. Where an index is new
 * but there are blobs, the store can be opened only like this until `relistImages` has found the images again.
 */
export async function openRepaired(dir: string, nowMs: number): Promise<Repaired> {
  await setAsideMisplaced(storeLayout(dir, 0), nowMs);
  try {
    return { store: await openReadable(dir) };
  } catch (error) {
    const { index } = storeLayout(dir, 0);
    if (!hasCode(error, 'STORE_CORRUPT') || error.details.path !== index) throw error; // the index is not at fault
    const setAside = await setAsideIndex(dir, nowMs);
    return { store: await openStore({ dir, relisting: true }), setAside };
  }
}

async function openReadable(dir: string): Promise<Store> {
  const store = await openStore({ dir, relisting: true });
  try {
    await store.checkIndex();
    const names = new Set<string>();
    for await (const { imageId, name } of store.images()) {
      names.add(name);
      await store.manifest(imageId);
    }
    for (const name of names) await store.imagesNamed(name);
    for await (const { reference } of store.registryImages()) await store.findRegistryImage(reference);
    await Array.fromAsync(store.blobRows(), () => undefined);
    return store;
  } catch (error) {
    await store.close().catch(() => undefined); // what closing meets, reading has met
    throw error;
  }
}
