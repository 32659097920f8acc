import { ImageError } from '../errors.ts';
import { shortImageId } from '../image/image-id.ts';
import type { IdReference } from '../image/reference.ts';
import type { FetchContext, FetchRequest } from './context.ts';
import { present, type Found } from './found.ts';
import { isUsable, isVerifiedEnough } from './usable.ts';

/** Only the store knows images by their ID. */
export async function findById(
  context: FetchContext,
  { reference }: FetchRequest<IdReference>,
  signal: AbortSignal,
): Promise<Found> {
  const imageId = await context.store.resolveId(reference.prefix);
  const image = await context.store.getImage(imageId);
  if (!image) throw new ImageError('NOT_IN_STORE', 'the store has no image of this ID', { asked: reference.text });
  if (!isVerifiedEnough(context, image)) {
    const message = `${shortImageId(imageId)} was brought in without verification, from ${image.source}`;
    throw new ImageError('SIGNATURE_MISSING', message, { location: image.source });
  }
  if (!(await isUsable(context, image, signal))) {
    const path = context.store.blobPath(imageId);
    throw new ImageError('STORE_CORRUPT', `the blob of ${shortImageId(imageId)} is damaged or missing`, { path });
  }
  context.store.touch(imageId);
  return present(image);
}
