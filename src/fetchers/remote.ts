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
  const { key, url, expected } = request;
  const startedMs = context.nowMs();
  for (;;) {
    const known = await lookUp(context, url, startedMs);
    if (known && (policy === 'never' || isFresh(known.record, startedMs, context.nowMs()))) {
      return use(context, known, expected);
    }
    if (policy === 'never') return undefined;

    const transfer = await slots.run(new URL(url).host, signal, async () => {
      const claim = await store.tryClaim(url);
      return claim && bring(context, request, known, claim, signal);
    });
    if (transfer) return settle(context, request, known, transfer);

    onEvent({ type: 'waiting', key, reason: 'it is being fetched already' });
    await (await store.claim(url, signal)).release();
  }
}

type Transfer = { readonly received: Received; readonly claim: Claim };

/** The part that needs a place among the transfers; the claim is kept until what came is committed. */
async function bring(
  context: FetchContext,
  { key, url, signature, expected }: RemoteRequest,
  known: Known | undefined,
  claim: Claim,
  signal: AbortSignal,
): Promise<Transfer> {
  try {
    const verify = context.keystore ? signature : undefined;
    const received = await receive(
      context,
      { key, url, signature: verify, known: known && validators(known.record), expected },
      signal,
    );
    return { received, claim };
  } catch (error) {
    await claim.release();
    throw error;
  }
}

async function settle(
  context: FetchContext,
  { url, signature, expected, latest }: RemoteRequest,
  known: Known | undefined,
  { received, claim: held }: Transfer,
): Promise<Found> {
  await using _claim = held;
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
async function lookUp(context: FetchContext, url: string, startedMs: number): Promise<Known | undefined> {
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

function validators({ etag, lastModified }: Remote): { etag?: string; lastModified?: string } | undefined {
  if (etag === undefined && lastModified === undefined) return undefined;
  return { ...(etag !== undefined && { etag }), ...(lastModified !== undefined && { lastModified }) };
}
