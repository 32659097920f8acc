import { isDigest } from '../../image/digest.ts';
import { showUrl } from '../../image/show.ts';
import type { Claim } from '../../store/store.ts';
import { type FetchContext, type LockedImage, type Wanted, warnOfSilence } from '../context.ts';
import { fetched, type Found, signersOf } from '../found.ts';
import { lockedSigners } from '../lock.ts';
import type { SignatureSource } from '../signature.ts';
import { admit } from './admit.ts';
import { receive, type Received } from './receive.ts';
import { answerFromUrlCache, type CachedUrl, isFresh, lookUpUrl, takeCached, validators } from './url-cache.ts';

export type RemoteRequest = {
  readonly key: string;
  /** The exact URL, which is also the key in the URL cache. */
  readonly url: string;
  readonly signature: SignatureSource;
  readonly expected: Wanted;
  /** Whether the image is stored as the latest of its name. */
  readonly latest: boolean;
};

/**
 * Fetches one URL. Of several fetches of it at the same time, in any process, one downloads it; the others wait and use the result.
 *
 * @returns undefined if the store does not have the image and the policy does not allow the network.
 */
export async function fetchRemote(
  context: FetchContext,
  remote: RemoteRequest,
  signal: AbortSignal,
): Promise<Found | undefined> {
  const { policy, sharing, keepArchives } = context;
  const { url } = remote;
  const request = { ...remote, sinceMs: context.nowMs() };
  const stored = await answerFromUrlCache(context, request, signal);
  if (stored || policy === 'never') return stored;
  await using shared = await sharing?.beginArchive?.(url, signal);
  const given = await fetchFromPeers(context, { ...request, brought: shared?.brought }, signal);
  const found = given ?? (await fetchFromOrigin(context, request, signal));
  const { imageId: imageID, digest, source } = found.image;
  const isKept = keepArchives && isDigest(digest) && source === showUrl(url);
  if (isKept) await shared?.have({ imageID, digest, ...lockedSigners(signersOf(found)) });
  return found;
}

async function fetchFromOrigin(context: FetchContext, request: SharedRequest, signal: AbortSignal): Promise<Found> {
  const { store, slots, onEvent } = context;
  const { key, url } = request;
  const { host } = new URL(url);
  const transfer = await slots.run(host, signal, async (slot) => {
    const claim = await store.tryClaim(url);
    return claim && transferArchive({ ...context, slot }, { ...request, claim }, signal);
  });
  if (transfer) return settle(context, request, transfer);

  onEvent({ type: 'waiting', key, reason: 'it is being fetched already' });
  // the claim is held until the end: if the other fetch failed, only one of the waiting ones may download at a time
  await using held = new AsyncDisposableStack();
  const claim = held.use(await store.claim(url, signal, warnOfSilence(context, key)));
  const cached = await answerFromUrlCache(context, request, signal);
  if (cached) return cached;
  const transferred = await slots.run(host, signal, (slot) =>
    transferArchive({ ...context, slot }, { ...request, claim }, signal),
  );
  held.move(); // settle releases the claim
  return await settle(context, request, transferred);
}

/** @param sinceMs - when this fetch began */
type SharedRequest = RemoteRequest & { readonly sinceMs: number };

/** The claim is held until the image is committed. `known`: another fetch stored the image while this one waited for a slot. */
type Transfer = { readonly claim: Claim } & (
  | { readonly kind: 'known'; readonly known: CachedUrl }
  | { readonly kind: 'received'; readonly known: CachedUrl | undefined; readonly received: Received }
);

/**
 * Fetches an archive from peers that a lock names, or that one of them has brought.
 *
 * @returns undefined if none of them gives it, or another process fetches it.
 */
async function fetchFromPeers(
  context: FetchContext,
  { brought, ...request }: RemoteRequest & { readonly brought: LockedImage | undefined },
  signal: AbortSignal,
): Promise<Found | undefined> {
  const { archivePeers, store } = context;
  const { url, expected } = request;
  const held = expected.held?.digest === undefined ? brought && { ...brought, reference: url } : expected.held;
  if (!archivePeers || held?.digest === undefined) return undefined;
  const claim = await store.tryClaim(url);
  if (!claim) return undefined;
  await using resources = new AsyncDisposableStack();
  resources.use(claim);
  const { receiveFromPeers } = await import('./peers.ts'); // loaded in a fleet alone
  const asked = { ...request, expected: { ...expected, held } };
  const received = await receiveFromPeers({ ...context, archivePeers }, asked, signal);
  if (!received) return undefined;
  resources.move(); // settle releases the claim
  return await settle(context, request, { kind: 'received', claim, known: undefined, received });
}

/** The part of a fetch that needs a slot. */
async function transferArchive(
  context: FetchContext,
  request: SharedRequest & { readonly claim: Claim },
  signal: AbortSignal,
): Promise<Transfer> {
  const { key, url, expected, claim } = request;
  try {
    const known = await lookUpUrl(context, request, signal);
    if (known && isFresh(context, known, request)) return { kind: 'known', claim, known };
    const signature = context.verifier ? request.signature : undefined;
    const conditions = known && validators(known.record);
    if (!conditions) context.pool.warmUp(); // while the request is under way
    const received = await receive(context, { key, url, signature, known: conditions, expected }, signal);
    return { kind: 'received', claim, known, received };
  } catch (error) {
    await claim.release();
    throw error;
  }
}

async function settle(
  context: FetchContext,
  { url, signature, expected, latest }: RemoteRequest,
  transfer: Transfer,
): Promise<Found> {
  await using held = new AsyncDisposableStack();
  held.use(transfer.claim);
  const { known } = transfer;
  if (transfer.kind === 'known') return takeCached(context, transfer.known, expected);
  const { received } = transfer;
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
    return takeCached(context, known, expected);
  }
  const { checked, download, bytesDownloaded } = received;
  const admission = { checked, source: showUrl(url), latest, remote: { url, record } };
  const image = await admit(context, admission).catch(async (error: unknown) => {
    await download.close().catch(() => undefined); // the first error is reported
    throw error;
  });
  held.defer(() => download.discard());
  context.tidy(held.move().disposeAsync()); // removing a large file takes a while
  return fetched(image, bytesDownloaded);
}
