import { discoverKeys, type DiscoveryContext } from '../../discovery/discover.ts';
import { asImageError } from '../../errors.ts';
import { show, showUrl } from '../../image/show.ts';
import { abortable } from '../../system/single-flight.ts';
import { trustKeys } from '../../verify/trust.ts';
import { type FetchContext, observing } from '../context.ts';

/**
 * Trusts the keys that discovery offers for a name, where that was asked for and no key is trusted for the name yet; only
 * such as come over https. What goes wrong is told, and shows at verification if it matters. @see rkt-surroundings P10
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
    if (await keystore.hasPrefixKey(name)) return; // it came meanwhile
  }
  try {
    const urls = await discoverKeys(discovering(context, key), name, signal);
    for (const url of urls.filter((offered) => offered.startsWith('https:')))
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
  const { body } = await http.getDocument({ url, limit, statuses: [200], observer: observing(context, key) }, signal);
  const layer = keystore.dirs.length - 1;
  const request = { certificate: body, location: showUrl(url), prefix: name, layer };
  for await (const outcome of trustKeys({ keystore, pool }, request)) {
    if (outcome.kind !== 'trusted') continue;
    const { fingerprint, fault } = outcome.key;
    const but = fault ? `, though it verifies nothing: ${fault.why}` : '';
    const message = `trusting key ${fingerprint} for ${show(name)}, from ${showUrl(url)}, without review${but}`;
    onEvent({ type: 'warning', key, message });
  }
}

/** The part of a fetch's context that discovery needs. */
export function discovering(context: FetchContext, key: string): DiscoveryContext {
  const { http, slots, discovery, limits } = context;
  const { page: pageBytes, endpoints } = limits;
  const observer = { ...observing(context, key), onAnswer: (host: string) => slots.answered(host) };
  return { http, ...discovery, pageBytes, endpoints, observer };
}
