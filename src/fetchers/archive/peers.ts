import { isImageError } from '../../errors.ts';
import type { Http } from '../../http/contract.ts';
import type { Digest } from '../../image/digest.ts';
import { type ImageId, isImageId } from '../../image/image-id.ts';
import { show, showUrl } from '../../image/show.ts';
import { withoutRedirects, withShortTimeouts } from '../../registry/mirror-health.ts';
import { basicAuthorization } from '../../registry/token.ts';
import { debugLog } from '../../system/debug.ts';
import type { ArchivePeer, FetchContext } from '../context.ts';
import { isRefusal, receive, type Received, type ReceiveRequest } from './receive.ts';

const debug = debugLog('fetchers');

/**
 * Receives an archive that a lock names from peers that may have kept it. What they send is checked as if it were from its origin, and has
 * to have the digest of the lock. What a server said about how long it may be used is not known then.
 *
 * @returns undefined if none of them gives it.
 */
export async function receiveFromPeers(
  context: FetchContext & Required<Pick<FetchContext, 'archivePeers'>>,
  request: Pick<ReceiveRequest, 'key' | 'url' | 'expected'>,
  signal: AbortSignal,
): Promise<(Received & { readonly kind: 'received' }) | undefined> {
  const { archivePeers, slots, onEvent } = context;
  const { key, url, expected } = request;
  const { imageID, digest } = expected.held ?? {};
  if (imageID === undefined || digest === undefined || !isImageId(imageID)) return undefined;
  for (const peer of archivePeers.lookup(digest)) {
    const { host } = new URL(peer.origin);
    const asking = archivePeers.health.ask(peer.origin);
    if (!asking) continue;
    debug(() => `${showUrl(url)}: asks the peer ${host}`);
    const from = archiveUrl(peer, imageID, digest);
    const asked: ReceiveRequest = {
      ...{ key, url, from, expected, known: undefined },
      signature: context.verifier && { kind: 'url', url: `${from}.asc` },
    };
    try {
      const received = await slots.run(host, signal, (slot) =>
        receive({ ...context, slot, http: httpOf(context.http, peer) }, asked, signal),
      );
      asking.noteAnswer();
      if (received.kind === 'received') return { ...received, freshness: { maxAgeMs: 0 } };
    } catch (error) {
      signal.throwIfAborted();
      if (!isImageError(error) || /^(STORE|FILE)_/.test(error.code)) throw error; // it would be the same with any other
      debug(() => `${showUrl(url)}: the peer ${host}: ${error.code}: ${error.message}`);
      const message = `${showUrl(url)} cannot be taken from the peer ${show(host)}: ${error.code}: ${error.message}`;
      if (isRefusal(error) && error.code !== 'SIGNATURE_MISSING') onEvent({ type: 'warning', key, message });
      asking.noteFailure(error, `the peer ${show(host)}`);
    }
  }
  return undefined;
}

/** Where `longshore serve` has an archive that it has kept. */
function archiveUrl({ origin }: ArchivePeer, imageId: ImageId, digest: Digest): string {
  return `${origin}/aci/${imageId}/${digest}.aci`;
}

/** The same client, with the patience that a peer deserves, and with what it wants to know of us. */
function httpOf(http: Http, { user, password }: ArchivePeer): Http {
  const patient = withoutRedirects(withShortTimeouts(http, 'peer'));
  const own = { headers: { authorization: basicAuthorization(user, password) }, ownCredentials: true };
  return {
    ...http,
    getDocument: (request, signal) => patient.getDocument({ ...request, ...own }, signal),
    download: (request, signal) => patient.download({ ...request, ...own }, signal),
  };
}
