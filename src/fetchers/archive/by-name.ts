import { discoverEndpoints } from '../../discovery/discover.ts';
import type { Endpoint } from '../../discovery/template.ts';
import { hasCode, ImageError, isImageError } from '../../errors.ts';
import { formatReference, type NameReference } from '../../image/reference.ts';
import { show, showUrl } from '../../image/show.ts';
import type { StoredImage } from '../../store/store.ts';
import { debugLog } from '../../system/debug.ts';
import type { FetchContext, FetchRequest } from '../context.ts';
import { type Found, present } from '../found.ts';
import { type SignatureSource, signatureSource } from '../signature.ts';
import { findStored, type WantedName, wantedName } from '../stored.ts';
import { discoveryContext, fetchOfferedKeys } from './offered-keys.ts';
import { fetchRemote } from './remote.ts';

const debug = debugLog('fetchers');

/** Fetches an image by name, from the store or from an endpoint that discovery finds. @see docs/rules.md D */
export async function fetchByName(
  context: FetchContext,
  request: FetchRequest<NameReference>,
  signal: AbortSignal,
): Promise<Found> {
  const { key, reference, signature } = request;
  const resolved = await resolveName(context, request, signal);
  if (resolved.kind === 'stored') return present(resolved.image);
  const { wanted: expected, endpoints } = resolved;
  await fetchOfferedKeys(context, key, expected.name, signal);
  const latest = !reference.labels.has('version');
  return firstEndpoint(
    context,
    { key, expected, endpoints, signature },
    (url, source) => fetchRemote(context, { key, url, signature: source, expected, latest }, signal),
    signal,
  );
}

type EndpointsRequest = {
  readonly key: string;
  readonly expected: WantedName;
  readonly endpoints: readonly Endpoint[];
  /** The path of a signature that is used instead of those of the endpoints. */
  readonly signature: string | undefined;
};

/**
 * Returns the result of the first available endpoint. An endpoint that is unavailable is skipped with a warning; an image that is
 * refused for its content or signature ends the search.
 *
 * @param attempt - fetches or plans from one endpoint; undefined if there is no result for it.
 * @throws the error of the endpoint if there is only one, else DISCOVERY_FAILED.
 * @see docs/rules.md D7
 */
export async function firstEndpoint<T>(
  context: FetchContext,
  { key, expected, endpoints, signature }: EndpointsRequest,
  attempt: (archiveUrl: string, signature: SignatureSource) => Promise<T | undefined>,
  signal: AbortSignal,
): Promise<T> {
  const failures: ImageError[] = [];
  for (const { archiveUrl, signatureUrl } of endpoints) {
    const source = signatureSource(signature, { kind: 'url', url: signatureUrl });
    try {
      const found = await attempt(archiveUrl, source);
      if (found) return found;
    } catch (error) {
      if (signal.aborted || !isUnavailable(error)) throw error;
      failures.push(error);
      const message = `${showUrl(archiveUrl)}: ${error.code}: ${error.message}`;
      if (failures.length < endpoints.length) context.onEvent({ type: 'warning', key, message });
    }
  }
  const [first, ...others] = failures;
  if (first && others.length === 0) throw first;
  const what = failures.map(({ code, message }) => `${code}: ${message}`).join('; ');
  const attempts = endpoints.map(({ archiveUrl }) => showUrl(archiveUrl));
  throw new ImageError(
    'DISCOVERY_FAILED',
    `none of the endpoints found for ${show(expected.name)} gave the image: ${what}`,
    { name: expected.name, attempts },
    { cause: first },
  );
}

const unavailable: ReadonlySet<string> = new Set([
  'HTTP_STATUS',
  'NETWORK',
  'TIMEOUT',
  'STALLED',
  'TLS',
  'RESPONSE_INVALID',
  'LENGTH_MISMATCH',
  'RATE_LIMITED',
  'REDIRECT_REFUSED',
]);

function isUnavailable(error: unknown): error is ImageError {
  if (hasCode(error, 'SIGNATURE_MISSING')) return hasCode(error.cause, 'HTTP_STATUS');
  return isImageError(error) && unavailable.has(error.code);
}

/** The stored image of a name, or the endpoints that may have it. */
type ResolvedName =
  | { readonly kind: 'stored'; readonly image: StoredImage }
  | { readonly kind: 'elsewhere'; readonly wanted: WantedName; readonly endpoints: readonly Endpoint[] };

/**
 * Looks a name up in the store, if the policy allows it, and then by discovery.
 *
 * @throws NOT_IN_STORE under the policy `never`, and as discoverEndpoints.
 * @see docs/rules.md D
 */
export async function resolveName(
  context: FetchContext,
  { key, reference, pin }: FetchRequest<NameReference>,
  signal: AbortSignal,
): Promise<ResolvedName> {
  const wanted = wantedName(context, reference, pin);
  const isPinned = wanted.imageId !== undefined;
  const image = context.policy !== 'update' || isPinned ? await findStored(context, wanted, signal) : undefined;
  debug(
    () =>
      `${show(formatReference(reference))}: ${image ? 'answered from the store' : 'not in the store, or the store is not used'}`,
  );
  if (image) return { kind: 'stored', image };
  if (context.policy === 'never') {
    throw new ImageError('NOT_IN_STORE', 'the store has no such image, and the network is not used', {
      asked: formatReference(reference),
    });
  }
  const { name, labels, defaults } = wanted;
  const asked = new Map([...labels, ...defaults]);
  const endpoints = await discoverEndpoints(discoveryContext(context, key), name, asked, signal);
  debug(() => `${show(name)}: may be at ${endpoints.map(({ archiveUrl }) => showUrl(archiveUrl)).join(', ')}`);
  return { kind: 'elsewhere', wanted, endpoints };
}
