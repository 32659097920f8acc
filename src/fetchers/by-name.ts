import { ImageError } from '../errors.ts';
import { formatReference, type NameReference } from '../image/reference.ts';
import type { FetchContext, FetchRequest } from './context.ts';
import { present, type Found } from './found.ts';
import { isUsable } from './usable.ts';

/** An image of that name whose labels are the ones asked for, from the store. @see rkt-surroundings S30-S34 */
export async function findByName(context: FetchContext, { reference }: FetchRequest<NameReference>): Promise<Found> {
  const image = await context.store.findImage(reference.name, reference.labels);
  if (!image || !(await isUsable(context, image))) {
    const asked = formatReference(reference);
    throw new ImageError('NOT_IN_STORE', 'the store has no such image', { asked });
  }
  context.store.touch(image.imageId);
  return present(image);
}
