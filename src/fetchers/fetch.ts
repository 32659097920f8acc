import { ImageError } from '../errors.ts';
import { signatureUrl } from '../image/apps.ts';
import { isDigest } from '../image/digest.ts';
import { shortImageId } from '../image/image-id.ts';
import { type IdReference, type ImageReference, withoutSecrets } from '../image/reference.ts';
import type { RegistryReference } from '../image/registry-reference.ts';
import { show, showUrl } from '../image/show.ts';
import { isHttpUrl } from '../image/url.ts';
import { debugLog } from '../system/debug.ts';
import { lazy } from '../system/single-flight.ts';
import { fetchByFile } from './archive/by-file.ts';
import { fetchByName, findByName } from './archive/by-name.ts';
import { fetchByUrl } from './archive/by-url.ts';
import { contextFor, type FetchContext, type FetchRequest, type Held, type LockedImage } from './context.ts';
import { type Found, present, signersOf } from './found.ts';
import { fetchLocked, lockedSigners, nameInLock, pinnedBy } from './lock.ts';
import { type AtOnce, isStored, kept, signerRefusal, withSigners } from './stored.ts';

const debug = debugLog('fetchers');

/** Not loaded without registry images. */
const registryModule = lazy(() => import('./registry/fetch.ts'));

/** Fetches one image by any kind of reference. @throws ImageError; the signal's reason if that is aborted. */
export async function fetchImage(
  shared: FetchContext,
  request: FetchRequest<ImageReference>,
  signal: AbortSignal,
): Promise<Found> {
  const context = contextFor(shared, request);
  const { reference, pin } = request;
  debug(
    () =>
      `${shownOf(reference)}: by ${reference.kind}, policy ${context.policy}${context.verifier ? '' : ', unverified'}`,
  );
  if (reference.kind === 'registry') {
    const { fetchByRegistry } = await registryModule();
    return fetchByRegistry(context, { ...request, reference }, signal);
  }
  const { lock } = context;
  if (!lock) return fetchArchive(context, { ...request, reference }, signal);
  const fetch = (held: Held | undefined): Promise<Found> =>
    fetchArchive(context, { ...request, reference, pin: held ? pinnedBy(held, pin) : pin }, signal);
  const describe = (found: Found): Promise<LockedImage> => describeArchive(context, { ...request, reference }, found);
  return fetchLocked({ ...context, lock }, nameInLock(reference, pin), fetch, describe);
}

/** What a lock is to have of an archive: only what another fetch of the same reference would find as well. */
async function describeArchive(
  { store, onEvent }: FetchContext,
  { key, reference }: FetchRequest<ImageReference>,
  found: Found,
): Promise<LockedImage> {
  const { image, origin } = found;
  const { imageId: imageID, source } = image;
  const about = { imageID, ...lockedSigners(signersOf(found)) };
  const known = isDigest(image.digest) ? { ...about, digest: image.digest } : about;
  switch (reference.kind) {
    case 'file':
      return known;
    case 'url':
      return source === showUrl(reference.url) ? known : about;
    case 'name': {
      if (!isHttpUrl(source)) return about; // what is discovered may be packed otherwise
      const url = origin?.url ?? ((await store.getRemote(source))?.imageId === imageID ? source : undefined);
      if (url === undefined || showUrl(url) !== url) {
        const message =
          'the URL that it came from has a query, which a lock does not hold: it has to be discovered again';
        onEvent({ type: 'warning', key, message });
        return known;
      }
      const signature = origin?.signature === signatureUrl(url) ? undefined : origin?.signature;
      return { ...known, url, ...(signature !== undefined && { signature }) };
    }
    default:
      return { imageID };
  }
}

/**
 * As fetchImage, for an image that the store has: of a batch of names that are there, its queues and promises would take most of the
 * time. If undefined, fetchImage has to be asked, which may answer the same.
 */
export function findImage(context: FetchContext, request: FetchRequest<ImageReference>): AtOnce<Found> {
  const { reference } = request;
  return reference.kind === 'name' && !context.lock ? findByName(context, { ...request, reference }) : undefined;
}

function shownOf({ text }: ImageReference): string {
  return show(withoutSecrets(text));
}

function fetchArchive(
  context: FetchContext,
  request: FetchRequest<Exclude<ImageReference, RegistryReference>>,
  signal: AbortSignal,
): Promise<Found> {
  const { reference } = request;
  switch (reference.kind) {
    case 'file':
      return fetchByFile(context, { ...request, reference }, signal);
    case 'id':
      return findById(context, { ...request, reference }, signal);
    case 'name':
      return fetchByName(context, { ...request, reference }, signal);
    case 'url':
      return fetchByUrl(context, { ...request, reference }, signal);
  }
}

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
  const fault = await context.verifier?.signerFault(image, image.name, kept(context, imageId));
  if (fault !== undefined) throw signerRefusal(fault, shortImageId(imageId), image);
  if (!(await isStored(context, image, signal))) {
    const path = context.store.blobPath(imageId);
    throw new ImageError('STORE_CORRUPT', `the blob of ${shortImageId(imageId)} is damaged or missing`, { path });
  }
  context.store.touch(imageId);
  return withSigners(context, present(image), kept(context, imageId));
}
