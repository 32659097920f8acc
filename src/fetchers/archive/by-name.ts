import { isDeepStrictEqual } from 'node:util';

import { discoverEndpoints, isAllowedFor, pageHost } from '../../discovery/discover.ts';
import type { Endpoint } from '../../discovery/template.ts';
import { hasCode, ImageError, isImageError } from '../../errors.ts';
import { signatureUrl } from '../../image/apps.ts';
import { asRegistryReference, formatReference, type NameReference } from '../../image/reference.ts';
import { show, showUrl } from '../../image/show.ts';
import { parseHttpReference } from '../../image/url.ts';
import type { StoredImage } from '../../store/store.ts';
import { debugLog } from '../../system/debug.ts';
import { forget, type Inquiry, recall, remember, withAnswer } from '../answers.ts';
import type { FetchContext, FetchRequest } from '../context.ts';
import { type Found, present } from '../found.ts';
import { type SignatureSource, signatureSource } from '../signature.ts';
import { type AtOnce, findIntact, findStored, type WantedName, wantedName } from '../stored.ts';
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
  const { wanted: expected } = resolved;
  const latest = !reference.labels.has('version');
  return firstEndpoint(
    context,
    {
      key,
      expected,
      signature,
      didYouMean: suggestionFor(request),
      prepare: () => fetchOfferedKeys(context, key, expected.name, signal),
    },
    async (url, source) => {
      const found = await fetchRemote(context, { key, url, signature: source, expected, latest }, signal);
      return found && { ...found, origin: { url, ...(source.kind === 'url' && { signature: source.url }) } };
    },
    signal,
  );
}

/** What a request may have meant instead. What a dependency means is known. */
export function suggestionFor({ reference, pin }: FetchRequest<NameReference>): string | undefined {
  return pin === undefined ? asRegistryReference(reference.text) : undefined;
}

/** As fetchByName, for an image that the store has. If undefined, fetchByName has to be asked, which may answer the same. */
export function findByName(context: FetchContext, { reference, pin }: FetchRequest<NameReference>): AtOnce<Found> {
  if (context.policy === 'update' || pin) return undefined;
  const image = findIntact(context, wantedName(context, reference));
  const answer = (found: StoredImage | undefined): Found | undefined => {
    if (found) debug(() => `${show(formatReference(reference))}: answered from the store`);
    return found && present(found);
  };
  return image instanceof Promise ? image.then(answer) : answer(image);
}

type EndpointsRequest = {
  readonly key: string;
  readonly expected: WantedName;
  /** What to suggest when the name is not found. */
  readonly didYouMean: string | undefined;
  /** The path of a signature that is used instead of those of the endpoints. */
  readonly signature: string | undefined;
  /** Called when there are endpoints. */
  readonly prepare?: () => Promise<void>;
};

type Attempt<T> = (archiveUrl: string, signature: SignatureSource) => Promise<T | undefined>;

/**
 * Finds the endpoints of a name, and returns the result of the first available one. Endpoints that were found a short while ago are
 * used again; if they fail, they are looked for anew. If a lock has the URL, nobody is asked for endpoints.
 *
 * @throws as discoverEndpoints, tryEndpoints and lockedEndpoint
 * @see docs/rules.md D
 */
export async function firstEndpoint<T>(
  context: FetchContext,
  request: EndpointsRequest,
  attempt: Attempt<T>,
  signal: AbortSignal,
): Promise<T> {
  const locked = lockedEndpoint(context, request.expected);
  if (locked) {
    await request.prepare?.();
    return tryEndpoints(context, request, [locked], attempt, signal);
  }
  return withAnswer(
    (mayRecall) => openDiscovery(context, request, mayRecall, signal),
    (one, other) => isDeepStrictEqual(one.endpoints, other.endpoints),
    async ({ endpoints, end }) => {
      let isNeeded = true;
      try {
        await request.prepare?.();
        const result = await tryEndpoints(context, request, endpoints, attempt, signal);
        isNeeded = false; // the store has the image, and answers from now on
        return result;
      } finally {
        end(isNeeded);
      }
    },
    signal,
  );
}

/**
 * The URL in the lock, which may be used as one that was discovered.
 *
 * @throws INSECURE_REFUSED, REFERENCE_INVALID
 * @see docs/rules.md D4, H7
 */
function lockedEndpoint({ discovery }: FetchContext, { name, held }: WantedName): Endpoint | undefined {
  if (held?.url === undefined) return undefined;
  const { url: archiveUrl } = parseHttpReference(held.url);
  const signature = parseHttpReference(held.signature ?? signatureUrl(archiveUrl));
  const http = [archiveUrl, signature.url].find((url) => !isAllowedFor(discovery, name, url));
  if (http === undefined) return { archiveUrl, signatureUrl: signature.url };
  const message = `the lock file has an http URL, which is not allowed: ${showUrl(http)}`;
  throw new ImageError('INSECURE_REFUSED', message, { what: 'http' });
}

/** @param end - to be called when the endpoints were used: says whether a later run may need them. */
type Discovered = { readonly endpoints: readonly Endpoint[]; readonly end: (isNeeded: boolean) => void };

/** Endpoints in use are kept after this time, so that a small image causes no further write. */
const keepAfterMs = 500;

function openDiscovery(
  context: FetchContext,
  { key, expected: { name, labels, defaults }, didYouMean }: EndpointsRequest,
  mayRecall: boolean,
  signal: AbortSignal,
): Inquiry<Discovered> {
  const all = new Map([...labels, ...defaults]);
  const question = ['endpoints', name, JSON.stringify([...all].toSorted())];
  const discovery = { ...discoveryContext(context, key), didYouMean };
  const needed = Promise.withResolvers<boolean>();
  let timer: NodeJS.Timeout | undefined;
  let keeping: Promise<unknown> | undefined;
  let isRecalled = false;

  const end = (isNeeded: boolean): void => {
    clearTimeout(timer);
    needed.resolve(isNeeded);
  };

  const identity = async (): Promise<string | undefined> => {
    const { answers, store } = context;
    const host = pageHost(discovery, name);
    const headers = host === undefined ? undefined : answers.headersFor(host);
    return headers && answers.identityOf([host, ...Object.entries(headers)], await store.salt());
  };

  const find = async (): Promise<readonly Endpoint[] | undefined> => {
    const known = mayRecall ? await recall(context, question, parseEndpoints) : undefined;
    if (!known || known.identity !== (await identity())) return undefined;
    const urls = known.endpoints.flatMap(({ archiveUrl, signatureUrl }) => [archiveUrl, signatureUrl]);
    const areAllowed = urls.every((url) => isAllowedFor(discovery, name, url));
    return areAllowed ? known.endpoints.slice(0, discovery.endpoints) : undefined;
  };

  const keep = async (endpoints: readonly Endpoint[], askedMs: number): Promise<void> => {
    const urls = endpoints.flatMap(({ archiveUrl, signatureUrl }) => [archiveUrl, signatureUrl]);
    if (!urls.every((url) => showUrl(url) === url)) return; // a query may be a secret, which the store must not hold
    if (await needed.promise) await remember(context, question, { endpoints, identity: await identity() }, askedMs);
  };

  return {
    async get() {
      const known = await find();
      isRecalled = known !== undefined;
      if (known) return { endpoints: known, end: () => undefined };
      const askedMs = context.nowMs();
      const endpoints = await discoverEndpoints(discovery, name, all, signal);
      debug(() => `${show(name)}: may be at ${endpoints.map(({ archiveUrl }) => showUrl(archiveUrl)).join(', ')}`);
      keeping = keep(endpoints, askedMs).catch(() => undefined);
      context.tidy(keeping);
      timer = setTimeout(end, keepAfterMs, true);
      return { endpoints, end };
    },
    isRecalled: () => isRecalled,
    async forget() {
      end(false);
      await keeping;
      if (keeping || isRecalled) await forget(context, question);
    },
  };
}

function parseEndpoints(value: unknown) {
  const { endpoints, identity } = Object(value) as Readonly<Record<string, unknown>>; // checked below
  if (!Array.isArray(endpoints) || endpoints.length === 0 || !endpoints.every(isEndpoint)) return undefined;
  return { endpoints, identity };
}

function isEndpoint(value: unknown): value is Endpoint {
  const { archiveUrl, signatureUrl } = Object(value) as Readonly<Record<string, unknown>>; // checked here
  return typeof archiveUrl === 'string' && typeof signatureUrl === 'string';
}

/**
 * Returns the result of the first available endpoint. An endpoint that is unavailable is skipped with a warning; an image that is
 * refused for its content or signature ends the search.
 *
 * @param attempt - fetches or plans from one endpoint; undefined if there is no result for it.
 * @throws the error of the endpoint if there is only one, else DISCOVERY_FAILED.
 * @see docs/rules.md D7
 */
async function tryEndpoints<T>(
  context: FetchContext,
  { key, expected, signature }: EndpointsRequest,
  endpoints: readonly Endpoint[],
  attempt: Attempt<T>,
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

/** The stored image of a name, or what is wanted of one that is elsewhere. */
type ResolvedName =
  | { readonly kind: 'stored'; readonly image: StoredImage }
  | { readonly kind: 'elsewhere'; readonly wanted: WantedName };

/**
 * Looks a name up in the store, if the policy allows it.
 *
 * @throws NOT_IN_STORE under the policy `never`.
 */
export async function resolveName(
  context: FetchContext,
  { reference, pin }: FetchRequest<NameReference>,
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
  return { kind: 'elsewhere', wanted };
}
