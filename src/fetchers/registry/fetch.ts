import { ImageError } from '../../errors.ts';
import type { Digest } from '../../image/digest.ts';
import type { RegistryReference } from '../../image/registry-reference.ts';
import { show } from '../../image/show.ts';
import { debugLog } from '../../system/debug.ts';
import { type FetchContext, type FetchRequest, warnOfSilence } from '../context.ts';
import type { Found, FoundImage } from '../found.ts';
import { type WantedImage, wantedImages } from './image.ts';
import { checkLocked, heldImage, lockedDigests, noteImages } from './locked.ts';
import { archiveStored, pullImage } from './pull.ts';
import { answerFromStore, lookUpKept, type MakeArchive } from './stored.ts';

const debug = debugLog('fetchers');

/**
 * Fetches a registry image for each platform, from the store if the policy allows that, else from the registry.
 *
 * @returns the image of the first platform; of several that are stored as they came, with the digest of their index.
 * @see docs/rules.md R
 */
export async function fetchByRegistry(
  context: FetchContext,
  request: FetchRequest<RegistryReference>,
  signal: AbortSignal,
): Promise<Found> {
  const { reference } = request;
  const held = heldImage(context, reference);
  const [first, ...others] = wantedImages(context.registries, request);
  const fetch = async (wanted: WantedImage, root: Digest | undefined): Promise<Found> => {
    const locked = lockedDigests(context, held, wanted.platform, root);
    const found = await fetchWanted(context, { ...wanted, locked }, signal);
    checkLocked(context, locked, found);
    return found;
  };
  const found = await fetch(first, undefined);
  const images = [{ platform: first.platform, found }];
  let { status, bytesDownloaded } = found;
  const blobs = new Map(found.blobs);
  for (const wanted of others) {
    const other = await fetch(wanted, context.lock && found.root); // a lock has one digest for all
    if (other.status === 'fetched') {
      status = 'fetched';
      for (const [digest, bytes] of [...(other.blobs ?? []), [other.image.imageId, other.image.size] as const])
        blobs.set(digest, bytes);
    }
    bytesDownloaded += other.bytesDownloaded;
    images.push({ platform: wanted.platform, found: other });
  }
  noteImages(context, reference, held, images);
  const all = images.map((one) => one.found.image);
  return { ...found, image: asOne(found.image, all), status, bytesDownloaded, blobs };
}

/** The images for several platforms as one, which their index identifies. */
export function asOne(first: FoundImage, images: readonly FoundImage[]): FoundImage {
  const { index } = first;
  if (images.length === 1 || index === undefined || images.some((image) => image.index !== index)) return first;
  const platforms = images.flatMap(({ platform }) => platform ?? []);
  return { ...first, imageId: index, digest: index, platforms };
}

/** Fetches an image for one platform. Of several fetches of it at the same time, one pulls it; the others wait and use the result. */
async function fetchWanted(context: FetchContext, wanted: WantedImage, signal: AbortSignal): Promise<Found> {
  const { store, policy, onEvent, nowMs } = context;
  const sinceMs = nowMs();
  const stored = await answerFromStore(context, wanted, { sinceMs, mayAsk: true }, signal);
  debug(() => `${show(wanted.name)}: ${stored ? 'answered from the store' : 'the store cannot answer'}`);
  if (stored) return stored;
  if (policy === 'never' && !(await lookUpKept(context, wanted, sinceMs, signal))) return throwNotInStore(wanted);

  const atOnce = await store.tryClaim(wanted.url);
  if (!atOnce) onEvent({ type: 'waiting', key: wanted.key, reason: 'it is being fetched already' });
  await using _claim = atOnce ?? (await store.claim(wanted.url, signal, warnOfSilence(context, wanted.key)));
  const makeArchive: MakeArchive = (known) => archiveStored(context, wanted, known, signal);
  const brought = await answerFromStore(context, wanted, { sinceMs, mayAsk: false, makeArchive }, signal);
  if (brought) debug(() => `${show(wanted.name)}: the store has it by now`);
  if (brought) return brought;
  if (policy === 'never') return throwNotInStore(wanted);
  return await pullImage(context, wanted, signal);
}

/** @throws NOT_IN_STORE for a reference under the policy `never` */
export function throwNotInStore({ name }: Pick<WantedImage, 'name'>): never {
  const message = `the store has no image for ${name}, and the network is not used`;
  throw new ImageError('NOT_IN_STORE', message, { asked: name });
}
