import { discoverEndpoints } from '../../discovery/discover.ts';
import type { Endpoint } from '../../discovery/template.ts';
import { hasCode, ImageError, isImageError } from '../../errors.ts';
import { formatReference, type NameReference } from '../../image/reference.ts';
import { show, showUrl } from '../../image/show.ts';
import type { StoredImage } from '../../store/store.ts';
import { debugLog } from '../../system/debug.ts';
import type { FetchContext, FetchRequest } from '../context.ts';
import { type Found, present } from '../found.ts';
import type { SignatureSource } from '../signature.ts';
import { findStored, type Wanted, wantedOf } from '../stored.ts';
import { discovering, fetchOfferedKeys } from './offered-keys.ts';
import { fetchRemote } from './remote.ts';

const debug = debugLog('fetchers');

/** An image by name: the store's, or what discovery leads to. @see image-package "Fetching by kind", docs/rules.md D */
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
  readonly expected: Wanted;
  readonly endpoints: readonly Endpoint[];
  /** Path of a signature that overrides those of the endpoints. */
  readonly signature: string | undefined;
};

/**
 * The first endpoint that answers. The next one is tried when one can't be had; what was refused for its content or
 * signature ends the search.
 *
 * @param attempt - undefined when it has nothing to say of that endpoint.
 * @throws what the only endpoint threw; DISCOVERY_FAILED for several. @see docs/rules.md D7
 */
export async function firstEndpoint<T>(
  context: FetchContext,
  { key, expected, endpoints, signature }: EndpointsRequest,
  attempt: (archiveUrl: string, signature: SignatureSource) => Promise<T | undefined>,
  signal: AbortSignal,
): Promise<T> {
  const failures: ImageError[] = [];
  for (const { archiveUrl, signatureUrl } of endpoints) {
    const source =
      signature === undefined
        ? { kind: 'url' as const, url: signatureUrl }
        : { kind: 'file' as const, path: signature, isNamed: true };
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
    `no place that was found for ${show(expected.name)} has it: ${what}`,
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

/** The store's image of a name, or where else it may be. */
type ResolvedName =
  | { readonly kind: 'stored'; readonly image: StoredImage }
  | { readonly kind: 'elsewhere'; readonly wanted: Wanted; readonly endpoints: readonly Endpoint[] };

/**
 * Asks the store where the policy allows, then discovery.
 *
 * @throws NOT_IN_STORE under the policy `never`, and as discoverEndpoints. @see docs/rules.md D
 */
export async function resolveName(
  context: FetchContext,
  { key, reference, pin }: FetchRequest<NameReference>,
  signal: AbortSignal,
): Promise<ResolvedName> {
  const wanted = wantedOf(context, reference, pin);
  const isPinned = wanted.imageId !== undefined;
  const image = context.policy !== 'update' || isPinned ? await findStored(context, wanted, signal) : undefined;
  debug(
    () =>
      `${show(formatReference(reference))}: ${image ? 'answered from the store' : 'not in the store, or not asked there'}`,
  );
  if (image) return { kind: 'stored', image };
  if (context.policy === 'never') {
    throw new ImageError('NOT_IN_STORE', 'the store has no such image, and the network is not asked', {
      asked: formatReference(reference),
    });
  }
  const { name, labels, defaults } = wanted;
  const asked = new Map([...labels, ...defaults]);
  const endpoints = await discoverEndpoints(discovering(context, key), name, asked, signal);
  debug(() => `${show(name)}: may be at ${endpoints.map(({ archiveUrl }) => showUrl(archiveUrl)).join(', ')}`);
  return { kind: 'elsewhere', wanted, endpoints };
}
