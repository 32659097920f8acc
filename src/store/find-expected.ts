import { hasCode } from '../errors.ts';
import { checkExpected, type Expected } from '../image/expected.ts';
import type { Store, StoredImage } from './store.ts';

/** What a name and perhaps a pin ask for. */
export type ByName = Expected & Required<Pick<Expected, 'name' | 'labels'>>;

/**
 * The image of the store that is meant: a pinned one by its ID, which must then have the name and the labels, else the
 * best of that name; undefined when there is none.
 *
 * @throws NAME_MISMATCH, LABEL_MISMATCH, SIZE_MISMATCH for a pinned one; ID_AMBIGUOUS
 * @see rkt-surroundings S30-S34, D24
 */
export async function findExpected(store: Store, expected: ByName): Promise<StoredImage | undefined> {
  const { name, labels, defaults, imageId, size } = expected;
  if (imageId === undefined) {
    const image = await store.findImage(name, labels, defaults);
    return image && (size === undefined || image.size === size) ? image : undefined;
  }
  const pinned = await findPinned(store, imageId);
  if (pinned) checkExpected(pinned, expected);
  return pinned;
}

async function findPinned(store: Store, imageId: string): Promise<StoredImage | undefined> {
  try {
    return await store.getImage(await store.resolveId(imageId));
  } catch (error) {
    if (hasCode(error, 'NOT_IN_STORE')) return undefined;
    throw error;
  }
}
