import { ImageError } from '../../errors.ts';
import { type Digest, parseDigest } from '../../image/digest.ts';
import type { RegistryReference } from '../../image/registry-reference.ts';
import { show } from '../../image/show.ts';
import { debugLog } from '../../system/debug.ts';
import { type FetchContext, type FetchRequest, tellingSilence } from '../context.ts';
import type { Found } from '../found.ts';
import { holdToLock } from '../lock.ts';
import { type WantedOfRegistry, wantedOfRegistry } from './image.ts';
import { pullImage } from './pull.ts';
import { answerFromStore } from './stored.ts';

const debug = debugLog('fetchers');

/**
 * An image of a registry, for each platform that is wanted: the store's where the policy allows, else pulled.
 *
 * @returns that of the first platform. @see docs/rules.md R
 */
export async function fetchByRegistry(
  context: FetchContext,
  request: FetchRequest<RegistryReference>,
  signal: AbortSignal,
): Promise<Found> {
  const [first, ...others] = wantedOfRegistry(context.registries.platforms, request);
  const fetch = (wanted: WantedOfRegistry): Promise<Found> => fetchHeld(context, wanted, signal);
  const found = await fetch(first);
  let { status, bytesDownloaded } = found;
  for (const wanted of others) {
    const other = await fetch(wanted);
    if (other.status === 'fetched') status = 'fetched';
    bytesDownloaded += other.bytesDownloaded;
  }
  return { ...found, status, bytesDownloaded };
}

function fetchHeld(context: FetchContext, wanted: WantedOfRegistry, signal: AbortSignal): Promise<Found> {
  return holdToLock(context, wanted.url, (locked) => fetchWanted(context, { ...wanted, locked }, signal), digestOf);
}

/** Of its manifest, in whatever form it is kept. */
function digestOf({ image }: Found): Digest {
  return parseDigest(image.digest);
}

/** Whoever else wants it at the same time: one brings it, all others wait and use it. */
async function fetchWanted(context: FetchContext, wanted: WantedOfRegistry, signal: AbortSignal): Promise<Found> {
  const { store, policy, onEvent, nowMs } = context;
  const sinceMs = nowMs();
  const stored = await answerFromStore(context, wanted, { sinceMs, mayAsk: true }, signal);
  debug(() => `${show(wanted.name)}: ${stored ? 'answered from the store' : 'the store cannot answer'}`);
  if (stored) return stored;
  if (policy === 'never') return notKept(wanted);

  const atOnce = await store.tryClaim(wanted.url);
  if (!atOnce) onEvent({ type: 'waiting', key: wanted.key, reason: 'it is being fetched already' });
  await using _claim = atOnce ?? (await store.claim(wanted.url, signal, tellingSilence(context, wanted.key)));
  const brought = await answerFromStore(context, wanted, { sinceMs, mayAsk: false }, signal);
  if (brought) debug(() => `${show(wanted.name)}: another fetch has brought it`);
  return brought ?? (await pullImage(context, wanted, signal));
}

/** @throws NOT_IN_STORE, of a reference under the policy `never` */
export function notKept({ name }: Pick<WantedOfRegistry, 'name'>): never {
  const message = `the store has nothing that came for ${name}, and the network is not asked`;
  throw new ImageError('NOT_IN_STORE', message, { asked: name });
}
