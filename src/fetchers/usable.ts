import { ImageError } from '../errors.ts';
import { shortImageId, type ImageId } from '../image/image-id.ts';
import { abortable } from '../pool/abortable.ts';
import type { StoredImage } from '../store/store.ts';
import type { FetchContext } from './context.ts';

/** An image that came in without verification never satisfies a request that asks for it; a weak one only a weak request. */
export function isVerifiedEnough(
  { keystore, weakKeys }: FetchContext,
  image: Pick<StoredImage, 'verified' | 'weak'>,
): boolean {
  if (!keystore) return true;
  return image.verified !== false && (!image.weak || weakKeys);
}

/**
 * Whether the store may answer with this image: verified enough, and its blob is what the index says. A blob whose size,
 * time or inode changed is hashed; under `never` a bad one is an error, otherwise it counts as absent and is fetched again.
 *
 * @throws STORE_CORRUPT under the policy `never`.
 */
export async function isUsable(context: FetchContext, image: StoredImage, signal: AbortSignal): Promise<boolean> {
  return isVerifiedEnough(context, image) && (await isIntact(context, image.imageId, signal));
}

/** The image, and that it was used, if the store may answer with it. @throws as isUsable */
export async function takeUsable(
  context: FetchContext,
  image: StoredImage | undefined,
  signal: AbortSignal,
): Promise<StoredImage | undefined> {
  if (!image || !(await isUsable(context, image, signal))) return undefined;
  context.store.touch(image.imageId);
  return image;
}

async function isIntact(
  { store, pool, policy }: FetchContext,
  imageId: ImageId,
  signal: AbortSignal,
): Promise<boolean> {
  const state = await store.blobState(imageId);
  if (state === 'intact') return true;
  const path = store.blobPath(imageId);
  if (state === 'changed') {
    const { hex } = await abortable(pool.run('reHash', { path, algorithm: 'sha512' }), signal);
    if (`sha512-${hex}` === imageId) {
      await store.confirmBlob(imageId);
      return true;
    }
  }
  if (policy !== 'never') return false;
  const what = state === 'missing' ? 'is missing' : 'does not hash to its ID';
  throw new ImageError('STORE_CORRUPT', `the blob of ${shortImageId(imageId)} ${what}`, { path });
}
