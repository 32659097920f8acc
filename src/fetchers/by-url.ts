import { ImageError } from '../errors.ts';
import { parseImageId } from '../image/image-id.ts';
import type { UrlReference } from '../image/reference.ts';
import { showUrl } from '../image/show-url.ts';
import { signatureUrl } from '../image/signature-location.ts';
import type { StoredImage } from '../store/store.ts';
import type { FetchContext, FetchRequest } from './context.ts';
import { fetchRemote } from './remote.ts';
import { isUsable } from './usable.ts';
import { present, type Found } from './found.ts';

/** An archive at a URL: from the store while it is fresh, else asked for, with what we know of it. */
export async function fetchByUrl(
  context: FetchContext,
  { key, reference: { url }, signature, pin = {} }: FetchRequest<UrlReference>,
  signal: AbortSignal,
): Promise<Found> {
  const source =
    signature === undefined
      ? { kind: 'url' as const, url: signatureUrl(url) }
      : { kind: 'file' as const, path: signature };
  if (pin.imageId !== undefined) {
    const stored = await findLocked(context, pin.imageId, signal);
    if (stored) return present(stored);
  }
  const remote = { key, url, signature: source, expected: pin, latest: false };
  return (await fetchRemote(context, remote, signal)) ?? notRemembered(url);
}

/** What has to come of the URL is here, wherever it came from. */
async function findLocked(
  context: FetchContext,
  imageId: string,
  signal: AbortSignal,
): Promise<StoredImage | undefined> {
  const image = await context.store.getImage(parseImageId(imageId));
  if (!image || !(await isUsable(context, image, signal))) return undefined;
  context.store.touch(image.imageId);
  return image;
}

/** @throws NOT_IN_STORE, of a URL under the policy `never` */
export function notRemembered(url: string): never {
  throw new ImageError(
    'NOT_IN_STORE',
    `the store has nothing that came from ${showUrl(url)}, and the network is not asked`,
    { asked: showUrl(url) },
  );
}
