import { ImageError } from '../errors.ts';
import { isDigest } from '../image/digest.ts';
import { shortImageId } from '../image/image-id.ts';
import type { IdReference } from '../image/reference.ts';
import type { FetchContext, FetchRequest } from './context.ts';
import { type Found, present } from './found.ts';
import { isStored, signerRefusal } from './stored.ts';

/** Finds an image by ID, in the store only. */
export async function findById(
  context: FetchContext,
  { reference }: FetchRequest<IdReference>,
  signal: AbortSignal,
): Promise<Found> {
  if (isDigest(reference.prefix)) {
    const { findByDigest } = await import('./registry/stored.ts'); // not loaded without registry images
    return findByDigest(context, reference.prefix, signal);
  }
  const imageId = await context.store.resolveId(reference.prefix);
  const image = await context.store.getImage(imageId);
  if (!image) throw new ImageError('NOT_IN_STORE', 'the store has no image of this ID', { asked: reference.text });
  const fault = await context.verifier?.signerFault(image, image.name);
  if (fault !== undefined) throw signerRefusal(fault, shortImageId(imageId), image);
  if (!(await isStored(context, image, signal))) {
    const path = context.store.blobPath(imageId);
    throw new ImageError('STORE_CORRUPT', `the blob of ${shortImageId(imageId)} is damaged or missing`, { path });
  }
  context.store.touch(imageId);
  return present(image);
}
