import { hasCode, ImageError, isImageError } from '../errors.ts';
import { discoverEndpoints } from '../discovery/discover.ts';
import type { Endpoint } from '../discovery/template.ts';
import { formatReference, type NameReference } from '../image/reference.ts';
import { show } from '../image/show.ts';
import { showUrl } from '../image/show-url.ts';
import type { FetchContext, FetchRequest } from './context.ts';
import { discovering } from './discovering.ts';
import { present, type Found } from './found.ts';
import { fetchOfferedKeys } from './offered-keys.ts';
import { fetchRemote } from './remote.ts';
import { findStored, wantedOf, type Wanted } from './wanted.ts';

/** An image by name: the store's, or what discovery leads to. @see image-package "Fetching by kind", docs/rules.md D */
export async function fetchByName(
  context: FetchContext,
  request: FetchRequest<NameReference>,
  signal: AbortSignal,
): Promise<Found> {
  const { key, reference, pin } = request;
  const wanted = wantedOf(context, reference, pin);
  const isPinned = wanted.imageId !== undefined;
  const stored = context.policy !== 'update' || isPinned ? await findStored(context, wanted) : undefined;
  if (stored) return present(stored);
  if (context.policy === 'never') {
    throw new ImageError('NOT_IN_STORE', 'the store has no such image, and the network is not asked', {
      asked: formatReference(reference),
    });
  }

  const { name, labels, defaults } = wanted;
  const asked = new Map([...labels, ...defaults]);
  const endpoints = await discoverEndpoints(discovering(context, key), name, asked, signal);
  await fetchOfferedKeys(context, key, name, signal);
  return fetchFromFirst(context, request, wanted, endpoints, signal);
}

/** The next endpoint is tried when one can't be had; what was refused for its content or signature ends the search. */
async function fetchFromFirst(
  context: FetchContext,
  { key, signature, reference }: FetchRequest<NameReference>,
  expected: Wanted,
  endpoints: readonly Endpoint[],
  signal: AbortSignal,
): Promise<Found> {
  const failures: ImageError[] = [];
  for (const { archiveUrl, signatureUrl } of endpoints) {
    const source =
      signature === undefined
        ? { kind: 'url' as const, url: signatureUrl }
        : { kind: 'file' as const, path: signature };
    const latest = !reference.labels.has('version');
    try {
      const found = await fetchRemote(context, { key, url: archiveUrl, signature: source, expected, latest }, signal);
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
    {
      name: expected.name,
      attempts,
    },
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
