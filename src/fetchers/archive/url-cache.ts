import { longestFreshMs } from '../../http/headers.ts';
import { checkExpected, type Expected } from '../../image/expected.ts';
import { shortImageId } from '../../image/image-id.ts';
import { showUrl } from '../../image/show.ts';
import type { Remote, StoredImage } from '../../store/store.ts';
import { debugLog } from '../../system/debug.ts';
import type { FetchContext } from '../context.ts';
import { type Found, present } from '../found.ts';
import { isStored, lacksArchive } from '../stored.ts';

const debug = debugLog('fetchers');

/** The cache entry of a URL whose image is usable. */
export type CachedUrl = { readonly image: StoredImage; readonly record: Remote };

export type UrlCacheRequest = {
  readonly url: string;
  /** The time at which the fetch began. Newer entries are fresh, and are used even with noCache. */
  readonly sinceMs: number;
  readonly expected: Expected;
};

export async function lookUpUrl(
  context: FetchContext,
  { url, sinceMs }: Pick<UrlCacheRequest, 'url' | 'sinceMs'>,
  signal: AbortSignal,
): Promise<CachedUrl | undefined> {
  const record = await context.store.getRemote(url);
  if (!record || (context.noCache && record.checkedAtMs < sinceMs)) {
    debug(() => `${showUrl(url)}: ${record ? 'its entry in the URL cache is not used' : 'not in the URL cache'}`);
    return undefined;
  }
  const image = await context.store.getImage(record.imageId);
  const isUsable =
    image !== undefined && (await isStored(context, image, signal)) && !(await lacksArchive(context, image, signal));
  debug(
    () =>
      `${showUrl(url)}: last gave ${shortImageId(record.imageId)}, which ${isUsable ? 'the store has' : 'cannot be used from the store'}`,
  );
  return isUsable ? { image, record } : undefined;
}

/** Answers from the store, if the entry is fresh or the policy is `never`. @throws as takeCached */
export async function answerFromUrlCache(
  context: FetchContext,
  request: UrlCacheRequest,
  signal: AbortSignal,
): Promise<Found | undefined> {
  const cached = await lookUpUrl(context, request, signal);
  if (!cached) return undefined;
  const isFreshNow = context.policy === 'never' || isFresh(context, cached, request);
  debug(
    () => `${showUrl(request.url)}: ${isFreshNow ? 'answered from the store' : 'no longer fresh, the server is asked'}`,
  );
  if (!isFreshNow) return undefined;
  return takeCached(context, cached, request.expected);
}

/**
 * Whether an entry is fresh: of the very image that is pinned, or younger than its max-age, at most a week, or stored since this fetch began.
 * One with a time in the future is not, nor is one for another image than the pinned one: the server may have that now.
 */
export function isFresh(
  { nowMs }: FetchContext,
  { image, record }: CachedUrl,
  { sinceMs, expected }: Pick<UrlCacheRequest, 'sinceMs' | 'expected'>,
): boolean {
  if (expected.imageId !== undefined && !image.imageId.startsWith(expected.imageId)) return false;
  if (expected.imageId === image.imageId) return true; // whatever the server has now, this image is wanted
  const { checkedAtMs, maxAgeMs } = record;
  const now = nowMs();
  if (checkedAtMs > now) return false;
  return checkedAtMs >= sinceMs || now - checkedAtMs < Math.min(maxAgeMs, longestFreshMs);
}

/** Uses the cached image. @throws as checkExpected, since the URL would give the same image again */
export function takeCached({ store }: FetchContext, { image }: CachedUrl, expected: Expected): Found {
  checkExpected(image, expected);
  store.touch(image.imageId);
  return present(image);
}

/** The validators that make a request conditional; undefined if there are none. */
export function validators({ etag, lastModified }: Remote): { etag?: string; lastModified?: string } | undefined {
  if (etag === undefined && lastModified === undefined) return undefined;
  return { ...(etag !== undefined && { etag }), ...(lastModified !== undefined && { lastModified }) };
}
