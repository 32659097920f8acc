import { longestFreshMs } from '../../http/headers.ts';
import { checkExpected, type Expected } from '../../image/expected.ts';
import { shortImageId } from '../../image/image-id.ts';
import { showUrl } from '../../image/show.ts';
import type { Remote, StoredImage } from '../../store/store.ts';
import { debugLog } from '../../system/debug.ts';
import type { FetchContext } from '../context.ts';
import { type Found, present } from '../found.ts';
import { isStored } from '../stored.ts';

const debug = debugLog('fetchers');

/** What is remembered of a URL, if the store could answer with it. */
export type CachedUrl = { readonly image: StoredImage; readonly record: Remote };

export type UrlCacheRequest = {
  readonly url: string;
  /** When the fetch began: what has come since is young, and the only thing that counts with noCache. */
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
    debug(() => `${showUrl(url)}: ${record ? 'what is known of it is not used' : 'nothing is known of it'}`);
    return undefined;
  }
  const image = await context.store.getImage(record.imageId);
  const isUsable = image !== undefined && (await isStored(context, image, signal));
  debug(
    () =>
      `${showUrl(url)}: was ${shortImageId(record.imageId)}, which ${isUsable ? 'the store has' : 'the store cannot answer with'}`,
  );
  return isUsable ? { image, record } : undefined;
}

/** What the store says by itself, if the policy lets it. @throws as `use` */
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
 * Younger than its max-age, which counts for a week at most, or brought since this fetch began; a time in the future is no time. What is not the image that
 * is pinned is never fresh: the origin may have that by now. @see D7-D9
 */
export function isFresh(
  { nowMs }: FetchContext,
  { image, record }: CachedUrl,
  { sinceMs, expected }: Pick<UrlCacheRequest, 'sinceMs' | 'expected'>,
): boolean {
  if (expected.imageId !== undefined && !image.imageId.startsWith(expected.imageId)) return false;
  const { checkedAtMs, maxAgeMs } = record;
  const now = nowMs();
  if (checkedAtMs > now) return false;
  return checkedAtMs >= sinceMs || now - checkedAtMs < Math.min(maxAgeMs, longestFreshMs);
}

/** @throws as checkExpected: what the URL gave before is what it would give again */
export function takeCached({ store }: FetchContext, { image }: CachedUrl, expected: Expected): Found {
  checkExpected(image, expected);
  store.touch(image.imageId);
  return present(image);
}

/** What makes a request conditional. */
export function validators({ etag, lastModified }: Remote): { etag?: string; lastModified?: string } | undefined {
  if (etag === undefined && lastModified === undefined) return undefined;
  return { ...(etag !== undefined && { etag }), ...(lastModified !== undefined && { lastModified }) };
}
