import { rm } from 'node:fs/promises';
import { basename } from 'node:path';

import { hasCode, isImageError } from '../errors.ts';
import { isDigest } from '../image/digest.ts';
import type { ImageId } from '../image/image-id.ts';
import { defaultLimits } from '../image/limits.ts';
import { ingestLimits } from '../pool/pool.ts';
import { storeLayout } from '../store/layout.ts';
import { setAsideMisplaced } from '../store/misplaced.ts';
import { openStore, setAsideIndex } from '../store/open-store.ts';
import type { Store, StoredImage } from '../store/store.ts';
import { stampFile } from '../system/files.ts';
import { abortable } from '../system/single-flight.ts';
import { type ImagesContext, inParallel } from './check-blob.ts';
import { relistRegistryImages } from './relist-registry-images.ts';

export type Relisted = {
  /** The number of images that are listed again. */
  readonly count: number;
  /** Those of them that are not from a registry: each was read and hashed. */
  readonly images: ReadonlySet<ImageId>;
  /** Files that belong to no image: they stay where they are. */
  readonly kept: readonly string[];
};

/**
 * Lists the images in the store that have no row in the index, as not verified. Afterwards a new index counts as
 * complete.
 *
 * @param width - blobs read in parallel.
 */
export async function relistImages(context: ImagesContext, width: number, signal: AbortSignal): Promise<Relisted> {
  const images = await relistBlobs(context, width, signal);
  const others = await relistRegistryImages(context, signal);
  const kept: string[] = [];
  const visit = async (path: string): Promise<void> => {
    if (!(await relistArchive(context, path, signal))) kept.push(path);
  };
  await inParallel(others.kept, width, visit, signal);
  const unlisted = await Array.fromAsync(context.store.unreferenced());
  await context.store.endRelisting();
  return { count: images.size + others.count, images, kept: [...unlisted, ...kept.toSorted()] };
}

/** An image that was imported before is accepted again, whatever its size. */
const limits = { ...defaultLimits, archive: Number.MAX_SAFE_INTEGER, unpacked: Number.MAX_SAFE_INTEGER };

/**
 * Lists each complete image among the blobs that have no row: the index may be lost, or older than they are. Nothing is
 * copied. It is not known how they were verified, so they count as not verified.
 *
 * @param width - blobs read in parallel.
 * @returns those that were listed. A blob that is no image, or does not match its file name, is left alone.
 */
async function relistBlobs(context: ImagesContext, width: number, signal: AbortSignal): Promise<ReadonlySet<ImageId>> {
  const listed = new Set<ImageId>();
  const visit = async (path: string): Promise<void> => {
    const imageId = await relistImage(context, path, signal);
    if (imageId !== undefined) listed.add(imageId);
  };
  await inParallel(context.store.unreferenced(), width, visit, signal);
  return listed;
}

/** Finds out whether a file is the archive of a listed image, which then has it again. Its signature is lost with the index. */
async function relistArchive({ store, pool }: ImagesContext, path: string, signal: AbortSignal): Promise<boolean> {
  const found = stampFile(path);
  if (!found) return false;
  try {
    const request = { source: { kind: 'file', path }, shown: path, limits: ingestLimits(limits) } as const;
    const { imageId, digest, compression } = await abortable(pool.run('readImage', request), signal);
    if (!isDigest(digest) || store.digestPath(digest) !== path || !(await store.getImage(imageId))) return false;
    await store.relistArchive(imageId, { digest, size: found.size, compression, stamp: found.stamp });
    return true;
  } catch (error) {
    if (isNoImage(error, path)) return false;
    throw error;
  }
}

/** Makes the file of a damaged image again of its archive, if that is kept. @returns whether it was made */
export async function remakeImage(
  { store, pool }: ImagesContext,
  image: StoredImage,
  signal: AbortSignal,
): Promise<boolean> {
  const archive = await store.archiveOf(image.imageId);
  if (!archive) return false;
  const { path: from, digest } = archive;
  const path = store.temporaryPath();
  const request = {
    source: { kind: 'file', path: from },
    shown: from,
    image: path,
    limits: ingestLimits(limits),
  } as const;
  try {
    const made = await abortable(pool.run('ingest', request), signal);
    if (made.imageId === image.imageId && made.digest === digest) {
      await store.commit({ path, stamp: made.stamp, image: { ...image, size: made.size }, manifest: made.manifest });
      return true;
    }
    await rm(path, { force: true });
    return false;
  } catch (error) {
    if (isNoImage(error, from)) return false;
    throw error;
  }
}

/** Whether the file at a path is no image, or was replaced while it was read. */
function isNoImage(error: unknown, path: string): boolean {
  if (isImageError(error) && /^(?:ARCHIVE|MANIFEST|NAME|LABEL|LIMIT|FILE)_/.test(error.code)) return true;
  return hasCode(error, 'STORE_CORRUPT') && error.details.path === path;
}

/** Lists the image in a blob that has no row. @returns undefined if it is no image, or not the one of its name */
export async function relistImage(
  { store, pool }: ImagesContext,
  path: string,
  signal: AbortSignal,
): Promise<ImageId | undefined> {
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
    if (isNoImage(error, path)) return undefined;
    throw error;
  }
}

/** `setAside`: where the damaged index, or the rest of a lost one, is now. */
export type Repaired = { readonly store: Store; readonly setAside?: string };

/**
 * Opens a store for writing and makes sure that its whole index can be read: a damaged one is replaced by a new one.
 * With a new index and existing blobs, the store can only be opened like this until `relistImages` has listed the
 * images again.
 */
export async function openRepaired(dir: string, nowMs: number): Promise<Repaired> {
  await setAsideMisplaced(storeLayout(dir, 0), nowMs);
  try {
    return { store: await openReadable(dir) };
  } catch (error) {
    const { index } = storeLayout(dir, 0);
    if (!hasCode(error, 'STORE_CORRUPT') || error.details.path !== index) throw error; // the index is not the cause
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
    await store.close().catch(() => undefined); // the error of the read is thrown instead
    throw error;
  }
}
