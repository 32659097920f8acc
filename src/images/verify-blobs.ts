import type { Digest } from '../image/digest.ts';
import type { RegistryImage, StoredBlob } from '../store/registry-store.ts';
import type { Store } from '../store/store.ts';
import { stampFile } from '../system/files.ts';
import { type BlobProblem, checkBlob, type ImagesContext, inParallel } from './check-blob.ts';
import { type Entry, registryEntry } from './list.ts';

export type Repair = {
  readonly nowMs: number;
  /** No file is removed, since there are blobs that the index does not know. */
  readonly keepsBlobs?: boolean;
  /** Fetches an unlisted image again. Returns true if it succeeded; the image is then checked. */
  readonly refetch?: (entry: Entry) => Promise<boolean>;
};

/** A registry blob that does not match its digest, and the images that need it. */
export type BlobDamage = {
  readonly kind: 'blob';
  readonly digest: Digest;
  readonly images: readonly RegistryImage[];
  readonly problem: BlobProblem;
  readonly repaired: boolean;
};

export type BlobsRequest = {
  readonly blobs: AsyncIterable<StoredBlob & { readonly needed: boolean }>;
  readonly width: number;
  readonly repair: Repair | undefined;
};

export type BlobsReport = {
  readonly checked: number;
  readonly bytes: number;
  /** By digest. */
  readonly damaged: readonly BlobDamage[];
  /** Files that no image needs. */
  readonly unreferenced: number;
};

type Bad = StoredBlob & { readonly problem: BlobProblem };
type Found = Bad & Pick<BlobDamage, 'images'>;

/** Reads and hashes registry blobs. A repair unlists the images that need damaged ones and fetches them again. */
export async function verifyBlobs(
  context: ImagesContext,
  { blobs, width, repair }: BlobsRequest,
  signal: AbortSignal,
): Promise<BlobsReport> {
  const bad = new Map<Digest, Bad>();
  const total = { checked: 0, bytes: 0, unreferenced: 0 };
  const examine = async ({ digest, size, needed }: StoredBlob & { readonly needed: boolean }): Promise<void> => {
    const before = stampFile(context.store.digestPath(digest));
    const problem = await checkBlob(context, { id: digest, size }, signal);
    if (problem === 'missing' && !needed) return; // other tools may remove blobs
    total.checked += 1;
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
  if (bad.size > 0) {
    for await (const image of store.registryImages()) {
      for (const digest of image.blobs.filter((blob) => bad.has(blob))) {
        needing.set(digest, [...(needing.get(digest) ?? []), image]);
      }
    }
  }
  return Array.from(bad.values(), (blob) => ({ ...blob, images: needing.get(blob.digest) ?? [] }))
    .filter(({ problem, images }) => problem !== 'missing' || images.length > 0)
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
  for (const { digest, problem } of found) await store.dropBlob(digest, { keepsFile: problem === 'unreadable' });
  const lost = new Map(found.flatMap(({ images }) => images.map((image) => [image.reference, image])));
  const back = new Set<string>();
  for (const image of lost.values()) {
    signal.throwIfAborted();
    if ((await repair.refetch?.(registryEntry(image))) && (await isListed(store, image))) back.add(image.reference);
  }
  return Array.fromAsync(found, async (blob) => {
    const isBack = blob.images.every(({ reference }) => back.has(reference));
    return damageOf(blob, isBack && (await isSound(context, blob, signal)));
  });
}

function damageOf({ digest, images, problem }: Found, repaired: boolean): BlobDamage {
  return { kind: 'blob', digest, images, problem, repaired };
}

async function isListed(store: Store, { reference, manifest }: RegistryImage): Promise<boolean> {
  return (await store.findRegistryImage(reference))?.manifest.digest === manifest.digest;
}

/** A blob that no image needs counts as sound once it is removed. */
async function isSound(context: ImagesContext, { digest, size, images }: Found, signal: AbortSignal): Promise<boolean> {
  return images.length === 0 || (await checkBlob(context, { id: digest, size }, signal)) === undefined;
}
