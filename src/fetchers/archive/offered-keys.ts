import { discoverKeys, type DiscoveryContext } from '../../discovery/discover.ts';
import { asImageError } from '../../errors.ts';
import { show, showUrl } from '../../image/show.ts';
import { abortable } from '../../system/single-flight.ts';
import { trustKeys } from '../../verify/trust.ts';
import { createObserver, type FetchContext } from '../context.ts';

/**
 * Trusts the https keys that discovery finds for a name, if that is enabled and no key is trusted for the name yet. Failures are
 * warnings: if no key was found, the verification fails later.
 */
export async function fetchOfferedKeys(
  context: FetchContext,
  key: string,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const { verifier, trustKeysFromHTTPS, promoted, onEvent } = context;
  const keystore = verifier?.keystore;
  if (!keystore || !trustKeysFromHTTPS || (await keystore.hasPrefixKey(name))) return;
  if (promoted) {
    await abortable(promoted, signal);
    if (await keystore.hasPrefixKey(name)) return; // another fetch may have added one
  }
  try {
    const offered = await discoverKeys(discoveryContext(context, key), name, signal);
    for (const { url } of offered.filter(({ isProven }) => isProven))
      await trustOffered(context, key, name, url, signal);
  } catch (error) {
    if (signal.aborted) throw error;
    const { code, message } = asImageError(error);
    onEvent({ type: 'warning', key, message: `no key was found for ${show(name)}: ${code}: ${message}` });
  }
}

async function trustOffered(
  context: FetchContext,
  key: string,
  name: string,
  url: string,
  signal: AbortSignal,
): Promise<void> {
  const { http, verifier, pool, limits, onEvent } = context;
  if (!verifier) return;
  const { keystore } = verifier;
  const limit = { name: 'key', bytes: limits.key };
  const { body } = await http.getDocument(
    { url, limit, statuses: [200], observer: createObserver(context, key) },
    signal,
  );
  const layer = keystore.dirs.length - 1;
  const request = { certificate: body, location: showUrl(url), prefix: name, layer };
  for await (const outcome of trustKeys({ keystore, pool }, request)) {
    if (outcome.kind !== 'trusted') continue;
    const { fingerprint, fault } = outcome.key;
    const but = fault ? `, though it cannot verify anything now: ${fault.why}` : '';
    const message = `trusting key ${fingerprint} for ${show(name)}, from ${showUrl(url)}, without review${but}`;
    onEvent({ type: 'warning', key, message });
  }
}

/** The context for the discovery of one fetch. */
export function discoveryContext(context: FetchContext, key: string): DiscoveryContext {
  const { http, slots, discovery, limits } = context;
  const { page: pageBytes, endpoints } = limits;
  const observer = { ...createObserver(context, key), onAnswer: (host: string) => slots.answered(host) };
  return { http, ...discovery, pageBytes, endpoints, observer };
}
