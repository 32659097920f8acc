import { hasCode } from '../errors.ts';
import { defaultLabels } from '../image/default-labels.ts';
import type { NameReference } from '../image/reference.ts';
import type { Store, StoredImage } from '../store/store.ts';
import { checkExpected, type Expected } from './check.ts';
import type { FetchContext, Pin } from './context.ts';
import { isUsable } from './usable.ts';

/** A name as it is looked for: what was asked for, and os and arch where it left them out. */
export type Wanted = Expected & Required<Pick<Expected, 'name' | 'labels' | 'defaults'>>;

export function wantedOf({ platform }: FetchContext, { name, labels }: NameReference, pin: Pin = {}): Wanted {
  const all = defaultLabels(labels, platform);
  const defaults = new Map([...all].filter(([label]) => !labels.has(label)));
  return { name, labels, defaults, ...pin };
}

/** The store's answer to a name: a pinned image by its ID, else the best of that name. @see rkt-surroundings S30-S34, D24 */
export async function findStored(context: FetchContext, wanted: Wanted): Promise<StoredImage | undefined> {
  const image = await lookUp(context, wanted);
  if (!image || !(await isUsable(context, image))) return undefined;
  context.store.touch(image.imageId);
  return image;
}

async function lookUp({ store }: FetchContext, wanted: Wanted): Promise<StoredImage | undefined> {
  const { name, labels, defaults, imageId, size } = wanted;
  if (imageId === undefined) {
    const image = await store.findImage(name, labels, defaults);
    return image && (size === undefined || image.size === size) ? image : undefined;
  }
  const pinned = await findPinned(store, imageId);
  if (pinned) checkExpected(pinned, wanted);
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
