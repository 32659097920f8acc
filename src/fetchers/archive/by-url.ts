import { ImageError } from '../../errors.ts';
import { signatureUrl } from '../../image/apps.ts';
import { parseImageId } from '../../image/image-id.ts';
import { showUrl } from '../../image/show.ts';
import type { UrlReference } from '../../image/url.ts';
import type { StoredImage } from '../../store/store.ts';
import type { FetchContext, FetchRequest, Pin } from '../context.ts';
import { type Found, present } from '../found.ts';
import { signatureSource } from '../signature.ts';
import { takeStored } from '../stored.ts';
import { fetchRemote } from './remote.ts';

/** Fetches an archive by URL: from the store while its cache entry is fresh, else by a conditional request. */
export async function fetchByUrl(
  context: FetchContext,
  { key, reference: { url }, signature, pin = {} }: FetchRequest<UrlReference>,
  signal: AbortSignal,
): Promise<Found> {
  const source = signatureSource(signature, { kind: 'url', url: signatureUrl(url) });
  const stored = await findPinned(context, pin, signal);
  if (stored) return present(stored);
  const remote = { key, url, signature: source, expected: pin, latest: false };
  return (await fetchRemote(context, remote, signal)) ?? throwNotInStore(url);
}

/** The stored image of a pin, whatever its source. */
export async function findPinned(
  context: FetchContext,
  { imageId }: Pin,
  signal: AbortSignal,
): Promise<StoredImage | undefined> {
  if (imageId === undefined) return undefined;
  return takeStored(context, await context.store.getImage(parseImageId(imageId)), signal);
}

/** @throws NOT_IN_STORE for a URL under the policy `never` */
export function throwNotInStore(url: string): never {
  throw new ImageError('NOT_IN_STORE', `the store has no image from ${showUrl(url)}, and the network is not used`, {
    asked: showUrl(url),
  });
}
