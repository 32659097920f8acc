import { hasCode } from '../errors.ts';
import type { ImageId } from '../image/image-id.ts';
import type { Store, StoredImage } from '../store/store.ts';
import { stampFile } from '../system/files.ts';
import { type BlobProblem, checkBlob, type ImagesContext, inParallel, mayBeGood } from './check-blob.ts';
import { imageEntry } from './list.ts';
import { relistImage, remakeImage } from './relist.ts';
import { type BlobDamage, type BlobsRequest, type Repair, verifyBlobs } from './verify-blobs.ts';

type ImageDamage = {
  readonly kind: 'image';
  readonly image: StoredImage;
  readonly problem: BlobProblem;
  readonly repaired: boolean;
};
export type Damage = ImageDamage | BlobDamage;

export type VerifyRequest = {
  readonly images: AsyncIterable<StoredImage> | Iterable<StoredImage>;
  /** Blobs of registry images, and archives. */
  readonly blobs: BlobsRequest['blobs'];
  /** Blobs hashed in parallel. */
  readonly width: number;
  /** Images that were just read and hashed. */
  readonly sound?: ReadonlySet<ImageId>;
  /** Unlists damaged images, fetches them again if possible, and removes files that nothing needs. */
  readonly repair?: Repair;
};

export type VerifyReport = {
  /** Images and other blobs. */
  readonly checked: number;
  readonly checkedBlobs: number;
  /** Those of the blobs that are archives of images, as they were transferred. */
  readonly checkedArchives: number;
  readonly bytes: number;
  /** Images in their order, then registry blobs. */
  readonly damaged: readonly Damage[];
  /** Files that no image refers to, including those that a repair removed. */
  readonly unreferenced: number;
  /** A repair has replaced index.json. Its entries of other tools are lost, and their blobs no longer protected. */
  readonly ociIndexSetAside: boolean;
};

/**
 * Reads and hashes every blob: checks that each exists, is complete and matches its ID. Without `repair` nothing
 * changes.
 */
export async function verifyImages(
  context: ImagesContext,
  request: VerifyRequest,
  signal: AbortSignal,
): Promise<VerifyReport> {
  const { images, width, repair } = request;
  const { store } = context;
  const found: { position: number; damage: ImageDamage }[] = [];
  let checked = 0;
  let bytes = 0;
  const examine = async (image: StoredImage, position: number): Promise<void> => {
    const isSound = request.sound?.has(image.imageId) === true;
    const damage = isSound ? undefined : await examineImage(context, { image, repair }, signal);
    checked += 1;
    bytes += image.size;
    if (damage) found.push({ position, damage });
  };
  // First, since a converted image is made from these blobs again.
  const blobs = await verifyBlobs(context, { blobs: request.blobs, width, repair }, signal);
  await inParallel(images, width, examine, signal);

  const unlisted = (await Array.fromAsync(store.unreferenced())).length;
  const ociIndexSetAside = repair !== undefined && (await rebuildOciIndex(store, repair.nowMs));
  if (repair && !repair.keepsBlobs && unlisted === 0) {
    await store.collect({ nowMs: repair.nowMs, partialsOlderThanMs: Infinity });
  }
  const damaged = found.sort((a, b) => a.position - b.position).map(({ damage }) => damage);
  return {
    checked: checked + blobs.checked,
    checkedBlobs: blobs.checked,
    checkedArchives: blobs.archives,
    bytes: bytes + blobs.bytes,
    damaged: [...damaged, ...blobs.damaged],
    unreferenced: unlisted + blobs.unreferenced,
    ociIndexSetAside,
  };
}

async function examineImage(
  context: ImagesContext,
  { image, repair }: { readonly image: StoredImage; readonly repair: Repair | undefined },
  signal: AbortSignal,
): Promise<ImageDamage | undefined> {
  const { store } = context;
  const { imageId, size } = image;
  const before = stampFile(store.blobPath(imageId));
  const problem = await checkBlob(context, { id: imageId, size }, signal);
  if (!problem) {
    const isChanged = repair && before && (await store.blobState(imageId)) === 'changed';
    if (isChanged) await store.confirmBlob(imageId, before.stamp);
    return undefined;
  }
  if (!(await store.getImage(imageId))) return undefined; // removed while it was read
  if (!repair) return { kind: 'image', image, problem, repaired: false };
  if (await remakeImage(context, image, signal))
    return { kind: 'image', image, problem, repaired: await isSound(context, imageId, signal) };
  // first, since a fetch may use a listed blob without hashing it
  const keepsFile = await mayBeGood(context, { id: imageId, problem }, signal);
  await store.remove(imageId, { keepsFile });
  const isBack =
    (await repair.refetch?.(imageEntry(image))) === true ||
    (keepsFile && (await relistImage(context, store.blobPath(imageId), signal)) !== undefined);
  return { kind: 'image', image, problem, repaired: isBack && (await isSound(context, imageId, signal)) };
}

async function isSound(context: ImagesContext, imageId: ImageId, signal: AbortSignal): Promise<boolean> {
  const image = await context.store.getImage(imageId);
  return image !== undefined && !(await checkBlob(context, { id: imageId, size: image.size }, signal));
}

/** @returns whether the old file could not be read and was set aside. */
async function rebuildOciIndex(store: Store, nowMs: number): Promise<boolean> {
  try {
    await store.writeOciIndex();
    return false;
  } catch (error) {
    if (!hasCode(error, 'STORE_CORRUPT')) throw error;
    await store.writeOciIndex({ setAsideDamagedAtMs: nowMs });
    return true;
  }
}
