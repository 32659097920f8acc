import { basename } from 'node:path';

import type { ImageId } from '../image/image-id.ts';
import { type ImagesContext, inParallel } from './check-blob.ts';
import { relistRegistryImages } from './relist-registry-images.ts';
import { hasCode, isImageError } from '../errors.ts';
import { defaultLimits } from '../image/limits.ts';
import { ingestLimits } from '../pool/pool.ts';
import { abortable } from '../system/single-flight.ts';
import { stampFile } from '../system/files.ts';
import { storeLayout } from '../store/layout.ts';
import { setAsideMisplaced } from '../store/misplaced.ts';
import { openStore, setAsideIndex } from '../store/open-store.ts';
import type { Store } from '../store/store.ts';

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

/** What was taken in once is taken again, however large. */
const limits = { ...defaultLimits, archive: Number.MAX_SAFE_INTEGER, unpacked: Number.MAX_SAFE_INTEGER };

/**
 * Lists every whole image again among the blobs that no row names: the index that named them may be lost, or may be an older
 * one. Nothing is copied. How they were verified is not known any more, so they count as not verified.
 *
 * @param width - blobs read at once.
 * @returns those that were listed; what is no image, or not the one that its file is named for, stays as it was.
 */
async function relistBlobs(context: ImagesContext, width: number, signal: AbortSignal): Promise<ReadonlySet<ImageId>> {
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
