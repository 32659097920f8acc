import type { Digest } from '../image/digest.ts';
import type { BlobRow, RegistryImage, StoredBlob } from '../store/registry-store.ts';
import type { Store, StoredImage } from '../store/store.ts';
import { stampFile } from '../system/files.ts';
import { type BlobProblem, checkBlob, type ImagesContext, inParallel, mayBeGood } from './check-blob.ts';
import { type Entry, imageEntry, registryEntry } from './list.ts';

export type Repair = {
  readonly nowMs: number;
  /** No file is removed, since there are blobs that the index does not know. */
  readonly keepsBlobs?: boolean;
  /** Fetches an unlisted image again. Returns true if it succeeded; the image is then checked. */
  readonly refetch?: (entry: Entry) => Promise<boolean>;
};

/** A file of `blobs/sha256` that does not match its digest, and the images that need it. */
export type BlobDamage = {
  readonly kind: 'blob';
  readonly digest: Digest;
  readonly images: readonly RegistryImage[];
  /** The images whose archive it is: they are sound without it. */
  readonly archiveOf: readonly StoredImage[];
  readonly problem: BlobProblem;
  readonly repaired: boolean;
};

export type BlobsRequest = {
  readonly blobs: AsyncIterable<BlobRow>;
  readonly width: number;
  readonly repair: Repair | undefined;
};

export type BlobsReport = {
  readonly checked: number;
  /** Those of them that are archives of images. */
  readonly archives: number;
  readonly bytes: number;
  /** By digest. */
  readonly damaged: readonly BlobDamage[];
  /** Files that no image needs. */
  readonly unreferenced: number;
};

type Bad = StoredBlob & { readonly problem: BlobProblem };
type Found = Bad & Pick<BlobDamage, 'images' | 'archiveOf'>;

/** Reads and hashes blobs. A repair unlists the images that need damaged ones and fetches them again; or their archives alone. */
export async function verifyBlobs(
  context: ImagesContext,
  { blobs, width, repair }: BlobsRequest,
  signal: AbortSignal,
): Promise<BlobsReport> {
  const bad = new Map<Digest, Bad>();
  const total = { checked: 0, archives: 0, bytes: 0, unreferenced: 0 };
  const examine = async ({ digest, size, needed, isArchive }: BlobRow): Promise<void> => {
    const before = stampFile(context.store.digestPath(digest));
    const problem = await checkBlob(context, { id: digest, size }, signal);
    if (problem === 'missing' && !needed) return; // other tools may remove blobs
    total.checked += 1;
    if (isArchive) total.archives += 1;
    total.bytes += size;
    if (!needed) total.unreferenced += 1;
    if (problem) bad.set(digest, { digest, size, problem });
    else if (repair && before && !(await context.store.hasBlob(digest)))
      await context.store.confirmDigest(digest, before.stamp);
  };
  await inParallel(blobs, width, examine, signal);

  const found = await withImages(context.store, bad);
  return { ...total, damaged: await settle(context, found, repair, signal) };
}

/**
 * Adds the images that need each blob. A missing blob that no image needs is left out: its image was removed in the
 * meantime.
 */
async function withImages(store: Store, bad: ReadonlyMap<Digest, Bad>): Promise<readonly Found[]> {
  const needing = new Map<Digest, RegistryImage[]>();
  const archived = new Map<Digest, StoredImage[]>();
  if (bad.size > 0) {
    for await (const image of store.registryImages()) {
      for (const digest of image.blobs.filter((blob) => bad.has(blob))) {
        needing.set(digest, [...(needing.get(digest) ?? []), image]);
      }
    }
    for await (const image of store.images()) {
      const digest = image.archive?.digest;
      if (digest && bad.has(digest)) archived.set(digest, [...(archived.get(digest) ?? []), image]);
    }
  }
  return Array.from(bad.values(), (blob) => ({
    ...blob,
    images: needing.get(blob.digest) ?? [],
    archiveOf: archived.get(blob.digest) ?? [],
  }))
    .filter(({ problem, images, archiveOf }) => problem !== 'missing' || images.length + archiveOf.length > 0)
    .sort((a, b) => (a.digest < b.digest ? -1 : 1));
}

async function settle(
  context: ImagesContext,
  found: readonly Found[],
  repair: Repair | undefined,
  signal: AbortSignal,
): Promise<readonly BlobDamage[]> {
  if (!repair) return found.map((blob) => damageOf(blob, false));
  const { store } = context;
  // first, since a fetch may use a listed blob without hashing it
  for (const { digest, problem } of found)
    await store.dropBlob(digest, { keepsFile: await mayBeGood(context, { id: digest, problem }, signal) });
  const lost = new Map(found.flatMap(({ images }) => images.map((image) => [image.reference, image])));
  const back = new Set<string>();
  for (const image of lost.values()) {
    signal.throwIfAborted();
    if ((await repair.refetch?.(registryEntry(image))) && (await isListed(store, image))) back.add(image.reference);
  }
  for (const image of found.flatMap(({ archiveOf }) => archiveOf)) {
    signal.throwIfAborted();
    if ((await repair.refetch?.(imageEntry(image))) && (await isArchived(store, image))) back.add(image.imageId);
  }
  return Array.fromAsync(found, async (blob) => {
    const users = [...blob.images.map(({ reference }) => reference), ...blob.archiveOf.map(({ imageId }) => imageId)];
    const isBack = users.every((user) => back.has(user));
    return damageOf(blob, isBack && (await isSound(context, blob, signal)));
  });
}

function damageOf({ digest, images, archiveOf, problem }: Found, repaired: boolean): BlobDamage {
  return { kind: 'blob', digest, images, archiveOf, problem, repaired };
}

async function isArchived(store: Store, { imageId, archive }: StoredImage): Promise<boolean> {
  return (await store.getImage(imageId))?.archive?.digest === archive?.digest;
}

async function isListed(store: Store, { reference, manifest }: RegistryImage): Promise<boolean> {
  return (await store.findRegistryImage(reference))?.manifest.digest === manifest.digest;
}

/** A blob that no image needs counts as sound once it is removed. */
async function isSound(
  context: ImagesContext,
  { digest, size, images, archiveOf }: Found,
  signal: AbortSignal,
): Promise<boolean> {
  return (
    images.length + archiveOf.length === 0 || (await checkBlob(context, { id: digest, size }, signal)) === undefined
  );
}
