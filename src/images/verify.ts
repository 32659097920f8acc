import type { ImageId } from '../image/image-id.ts';
import type { StoredImage } from '../store/store.ts';
import { checkBlob, type BlobProblem, type ImagesContext } from './check-blob.ts';
import { inParallel } from './in-parallel.ts';

export type Damage = { readonly image: StoredImage; readonly problem: BlobProblem; readonly repaired: boolean };

export type VerifyRequest = {
  readonly images: AsyncIterable<StoredImage> | Iterable<StoredImage>;
  /** Blobs hashed at once. */
  readonly width: number;
  /** Takes damaged images off the list, fetches them again if it can, and sweeps what nothing needs. */
  readonly repair?: Repair;
  /** Told of each image once it has been read. */
  readonly onChecked?: (image: StoredImage, damage: Damage | undefined) => void;
};

export type Repair = {
  readonly nowMs: number;
  /** Brings an image that is no longer listed again; true if it says it did, which is then checked. */
  readonly refetch?: (image: StoredImage) => Promise<boolean>;
};

export type VerifyReport = {
  readonly checked: number;
  readonly bytes: number;
  /** In the order of the images. */
  readonly damaged: readonly Damage[];
  /** Files that no image refers to, those that a repair removed included. */
  readonly unreferenced: number;
};

/** Reads and hashes every blob: whether each is there, whole, and what its ID says. Without `repair` nothing changes. */
export async function verifyImages(
  context: ImagesContext,
  request: VerifyRequest,
  signal: AbortSignal,
): Promise<VerifyReport> {
  const { images, width, repair, onChecked } = request;
  const found: { position: number; damage: Damage }[] = [];
  let checked = 0;
  let bytes = 0;
  const examine = async (image: StoredImage, position: number): Promise<void> => {
    const damage = await examineImage(context, { image, repair }, signal);
    checked += 1;
    bytes += image.size;
    if (damage) found.push({ position, damage });
    onChecked?.(image, damage);
  };
  await inParallel(images, width, examine, signal);

  const unreferenced = (await Array.fromAsync(context.store.unreferenced())).length;
  if (repair) await context.store.collect({ nowMs: repair.nowMs, partialsOlderThanMs: Infinity });
  const damaged = found.sort((a, b) => a.position - b.position).map(({ damage }) => damage);
  return { checked, bytes, damaged, unreferenced };
}

async function examineImage(
  context: ImagesContext,
  { image, repair }: { readonly image: StoredImage; readonly repair: Repair | undefined },
  signal: AbortSignal,
): Promise<Damage | undefined> {
  const { store } = context;
  const { imageId } = image;
  const problem = await checkBlob(context, { image }, signal);
  if (!problem) {
    if (repair && (await store.blobState(imageId)) === 'changed') await store.confirmBlob(imageId);
    return undefined;
  }
  if (!(await store.getImage(imageId))) return undefined; // removed while it was read
  if (!repair) return { image, problem, repaired: false };
  await store.remove(imageId); // first: as long as it is listed, a fetch may take it for a hit
  const repaired = (await repair.refetch?.(image)) === true && (await isSound(context, imageId, signal));
  return { image, problem, repaired };
}

async function isSound(context: ImagesContext, imageId: ImageId, signal: AbortSignal): Promise<boolean> {
  const image = await context.store.getImage(imageId);
  return image !== undefined && !(await checkBlob(context, { image }, signal));
}
