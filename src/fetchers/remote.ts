import type { Claim, Remote, StoredImage } from '../store/store.ts';
import { checkExpected, type Expected } from '../image/expected.ts';
import { showUrl } from '../image/show-url.ts';
import { admit } from './admit.ts';
import type { FetchContext } from './context.ts';
import { present, type Found } from './found.ts';
import { receive, type Received } from './receive.ts';
import type { SignatureSource } from './signature.ts';
import { isUsable } from './usable.ts';

export type RemoteRequest = {
  readonly key: string;
  /** Exactly what is asked for, and the key of what is remembered. */
  readonly url: string;
  readonly signature: SignatureSource;
  readonly expected: Expected;
  /** Whether an image that comes is flagged as the latest of its name. */
  readonly latest: boolean;
};

/** What is remembered of the URL, if the store could answer with it. */
type Known = { readonly image: StoredImage; readonly record: Remote };

/**
 * One URL, whoever else wants it at the same time: one brings it, all others wait and use it.
 *
 * @returns undefined when the policy keeps us from the network and the store can't answer.
 */
export async function fetchRemote(
  context: FetchContext,
  request: RemoteRequest,
  signal: AbortSignal,
): Promise<Found | undefined> {
  const { store, slots, policy, onEvent } = context;
  const { key, url } = request;
  const sinceMs = context.nowMs();
  const stored = await answer(context, request, sinceMs);
  if (stored || policy === 'never') return stored;

  const { host } = new URL(url);
  const transfer = await slots.run(host, signal, async () => {
    const claim = await store.tryClaim(url);
    return claim && bring(context, request, sinceMs, claim, signal);
  });
  if (transfer) return settle(context, request, transfer);

  onEvent({ type: 'waiting', key, reason: 'it is being fetched already' });
  // Kept, in case the other one failed: of those who wait, only one must go on.
  await using claim = await store.claim(url, signal);
  const brought = await answer(context, request, sinceMs);
  if (brought) return brought;
  const own = await slots.run(host, signal, () => bring(context, request, sinceMs, claim, signal));
  return await settle(context, request, own);
}

/** What the store says by itself, if the policy lets it. */
export async function answer(
  context: FetchContext,
  request: Pick<RemoteRequest, 'url' | 'expected'>,
  sinceMs: number,
): Promise<Found | undefined> {
  const known = await lookUp(context, request.url, sinceMs);
  if (!known || !(context.policy === 'never' || isFresh(known.record, sinceMs, context.nowMs()))) return undefined;
  return use(context, known, request.expected);
}

type Transfer = {
  readonly claim: Claim;
  readonly known: Known | undefined;
  /** Absent: what is known has come while this one waited for a place. */
  readonly received?: Received;
};

/** The part that needs a place among the transfers; the claim is kept until what came is committed. */
async function bring(
  context: FetchContext,
  { key, url, signature, expected }: RemoteRequest,
  sinceMs: number,
  claim: Claim,
  signal: AbortSignal,
): Promise<Transfer> {
  try {
    const known = await lookUp(context, url, sinceMs);
    if (known && isFresh(known.record, sinceMs, context.nowMs())) return { claim, known };
    const verify = context.keystore ? signature : undefined;
    const conditions = known && validators(known.record);
    const received = await receive(context, { key, url, signature: verify, known: conditions, expected }, signal);
    return { claim, known, received };
  } catch (error) {
    await claim.release();
    throw error;
  }
}

async function settle(
  context: FetchContext,
  { url, signature, expected, latest }: RemoteRequest,
  { received, known, claim: held }: Transfer,
): Promise<Found> {
  await using _claim = held;
  if (known && !received) return use(context, known, expected);
  if (!received) throw new Error('nothing was received, and nothing known');
  const { etag, lastModified, maxAgeMs } = received.freshness;
  const record = {
    maxAgeMs,
    checkedAtMs: context.nowMs(),
    ...(etag !== undefined && { etag }),
    ...(lastModified !== undefined && { lastModified }),
    ...(signature.kind === 'url' && { signatureUrl: showUrl(signature.url) }),
  };
  if (received.kind === 'not-modified') {
    if (!known) throw new Error('not modified, although nothing was known');
    await context.store.putRemote(url, { ...known.record, ...record });
    return use(context, known, expected);
  }
  const { checked, download, bytesDownloaded } = received;
  const admission = { checked, source: showUrl(url), latest, remote: { url, record } };
  const image = await admit(context, admission).catch(async (error: unknown) => {
    await download.close().catch(() => undefined); // what went wrong first is the news
    throw error;
  });
  await download.discard();
  return { status: 'fetched', image, bytesDownloaded };
}

/** With noCache only what has come since this fetch began counts. */
export async function lookUp(context: FetchContext, url: string, startedMs: number): Promise<Known | undefined> {
  const record = await context.store.getRemote(url);
  if (!record || (context.noCache && record.checkedAtMs < startedMs)) return undefined;
  const image = await context.store.getImage(record.imageId);
  return image && (await isUsable(context, image)) ? { image, record } : undefined;
}

/** @throws as checkExpected: what the URL gave before is what it would give again */
function use({ store }: FetchContext, { image }: Known, expected: Expected): Found {
  checkExpected(image, expected);
  store.touch(image.imageId);
  return present(image);
}

/** Younger than its max-age, or brought since this fetch began; a time in the future is no time. @see D7-D9 */
function isFresh({ checkedAtMs, maxAgeMs }: Remote, startedMs: number, nowMs: number): boolean {
  if (checkedAtMs > nowMs) return false;
  return checkedAtMs >= startedMs || nowMs - checkedAtMs < maxAgeMs;
}

export function validators({ etag, lastModified }: Remote): { etag?: string; lastModified?: string } | undefined {
  if (etag === undefined && lastModified === undefined) return undefined;
  return { ...(etag !== undefined && { etag }), ...(lastModified !== undefined && { lastModified }) };
}
