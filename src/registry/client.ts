import { asImageError, hasCode, ImageError, isImageError } from '../errors.ts';
import type {
  DocumentRequest,
  Downloaded,
  DownloadRequest,
  HttpDocument,
  HttpObserver,
  Pacing,
  Refusal,
  Repeated,
} from '../http/contract.ts';
import { leastProgress } from '../http/pump.ts';
import { show } from '../image/show.ts';
import { debugLog } from '../system/debug.ts';
import { singleFlight } from '../system/single-flight.ts';
import { type Access, createAuthorizer, parseChallenges, pullAccess, pushAccess } from './authorizer.ts';
import { connect } from './connect.ts';
import { createMirrorHealth, withoutRedirects, withShortTimeouts } from './mirror-health.ts';
import {
  type ContentRequest,
  faultOf,
  noPeer,
  peerPlace,
  type Place,
  placesOf,
  pushPlaceOf,
  showPlace,
} from './place.ts';
import { explainRefusal, warningsOf } from './token.ts';
import type { Peer, RegistryOptions } from './types.ts';

const debug = debugLog('registry');

/** A document or blob of a registry. */
export type RegistryTarget = ContentRequest & {
  readonly path: string;
  /** Hosts of mirrors that are not asked, since their content was bad. */
  readonly excludedMirrors?: ReadonlySet<string>;
  /** No peer is asked: what came in part from one was bad. */
  readonly excludesPeers?: boolean;
};

/** The place that answered, and whether the request had credentials or a token. */
export type AnsweredBy = { readonly place: string; readonly isAuthorized: boolean };

/** A place where content is asked for, by a text that is its own. */
export type PlaceName = Pick<Place, 'host' | 'repository' | 'origins'> & { readonly place: string };

/** Where a request of a push goes: to a path of the repository, or to a URL that the registry has named for it. */
type PushTarget = { readonly host: string; readonly repository: string } & (
  | {
      readonly path: string;
      /** Another repository, from which the request mounts. */
      readonly from?: string;
    }
  | { readonly url: string }
);

type SessionFields = 'url' | 'ownCredentials' | 'onRefusal';

/** `from` is the place that the last bytes came from. */
export type DownloadedFrom = Downloaded & { readonly from: Pick<Place, 'host' | 'kind'> };

/** Sends requests to registries and their mirrors. It remembers their connections, tokens and failures. */
export type RegistryClient = {
  readonly options: RegistryOptions;
  /** The places that are asked, in this order, after peers. @throws ImageError CONFIG_INVALID, as placesOf */
  placesOf(target: Omit<RegistryTarget, 'path'>): readonly PlaceName[];
  /** @param accept - checks and converts the answer; if it throws, the next place is asked. */
  getDocument<T>(
    target: RegistryTarget,
    request: Omit<DocumentRequest, SessionFields>,
    accept: (answer: HttpDocument, by: AnsweredBy) => T,
    signal: AbortSignal,
  ): Promise<T>;
  download(
    target: RegistryTarget,
    request: Omit<DownloadRequest, SessionFields>,
    signal: AbortSignal,
  ): Promise<DownloadedFrom>;
  /** Sends a request of a push, to the registry itself. Only there it has credentials. */
  send(target: PushTarget, request: Omit<DocumentRequest, SessionFields>, signal: AbortSignal): Promise<HttpDocument>;
  /** Repeats work that consists of such requests, as `Http` does. */
  repeat<T>(
    target: Pick<PushTarget, 'host' | 'repository'>,
    repeated: Omit<Repeated, 'url'>,
    attempt: () => Promise<T>,
    signal: AbortSignal,
  ): Promise<T>;
};

export function createRegistryClient(options: RegistryOptions): RegistryClient {
  const sessions = new Map<string, Session>();
  const warned = new Set<string>();
  const mirrors = createMirrorHealth(options);
  const httpOf = {
    registry: options.http,
    mirror: withShortTimeouts(options.http, 'mirror'),
    peer: withShortTimeouts(options.http, 'peer'),
  };

  function sessionOf(place: Place): Session {
    const key = keyOf(place);
    const known = sessions.get(key);
    if (known) return known;
    const { fault, warnings = [] } = options.certificates?.get(place.host) ?? {};
    warnings.forEach(warn);
    if (fault) throw fault;
    const http = httpOf[place.kind];
    const own = { ...options, http: place.refusesRedirects ? withoutRedirects(http) : http };
    const session = createSession(own, place, (text) => warn(`${place.host} says: ${text}`));
    sessions.set(key, session);
    return session;
  }

  function warn(message: string): void {
    if (warned.has(message) || warned.size >= maxWarnings) return;
    warned.add(message);
    options.onWarning(message);
  }

  function peersOf({ namedBy, excludesPeers, host, repository, path }: RegistryTarget): readonly Peer[] {
    if (!options.peers || excludesPeers || namedBy !== 'digest') return [];
    return options.peers({ host, repository, path });
  }

  async function ask<T>(
    target: RegistryTarget,
    work: (session: Session, there: Target, place: Place) => Promise<T>,
    signal: AbortSignal,
    isOfOnePlace = false,
  ): Promise<T> {
    const { places, blocked } = placesOf(target, options);
    const peers = blocked ? [] : peersOf(target);
    const others = peers.some(({ isLastResort }) => isLastResort) ? [] : places;
    let failure: unknown = others.length === 0 ? noPeer(target.host) : undefined;
    for (const place of [...peers.map((peer) => peerPlace(peer, options.allowHttp)), ...others]) {
      const isRegistry = place.kind === 'registry';
      const isWanted = !isRegistry && !target.excludedMirrors?.has(place.host);
      const asking = isWanted ? mirrors.ask(keyOf(place)) : undefined;
      if (!isRegistry && !asking) {
        debug(() => `${show(target.path)}: ${showPlace(place)} is not asked`);
        continue;
      }
      debug(() => `${show(target.path)} of ${show(place.repository)}: asks ${showPlace(place)}`);
      try {
        const answer = await work(sessionOf(place), { repository: place.repository, path: target.path }, place);
        asking?.noteAnswer();
        return answer;
      } catch (error) {
        signal.throwIfAborted();
        failure = error;
        debug(() => {
          const { code, message } = asImageError(error);
          return `${show(target.path)} of ${show(place.host)}: ${code}: ${message}`;
        });
        if (isRegistry || isOfOnePlace || !mayOtherPlaceSucceed(error)) break;
        const fault = faultOf(place, target.path, error);
        if (fault !== undefined) warn(fault);
        asking?.noteFailure(error, showPlace(place));
      }
    }
    if (blocked && mayOtherPlaceSucceed(failure ?? blocked))
      throw new ImageError(blocked.code, blocked.message, blocked.details, { cause: failure });
    throw failure;
  }

  return {
    options,
    placesOf: (target) => placesOf(target, options).places.map((place) => ({ ...place, place: keyOf(place) })),
    getDocument: (target, request, accept, signal) =>
      ask(
        target,
        async (session, there) => {
          const { answer, isAuthorized } = await session.getDocument(there, request, signal);
          return accept(answer, { place: session.key, isAuthorized });
        },
        signal,
      ),
    download: (target, request, signal) =>
      ask(
        target,
        async (session, there, { host, kind }) => ({
          ...(await session.download(there, request, signal)),
          from: { host, kind },
        }),
        signal,
        request.range !== undefined, // a mirror without ranges is no reason to ask the registry: the download goes on by itself
      ),
    async send(target, request, signal) {
      const session = sessionOf(pushPlaceOf(target, options));
      const access = pushAccess(target.repository, 'path' in target ? target.from : undefined);
      const there = 'path' in target ? { path: target.path } : { path: '', url: target.url };
      const { answer } = await session.getDocument(
        { repository: target.repository, ...there, access },
        request,
        signal,
      );
      return answer;
    },
    repeat(target, repeated, attempt, signal) {
      const [url = ''] = pushPlaceOf(target, options).origins;
      return options.http.repeat({ ...repeated, url }, attempt, signal);
    },
  };
}

const maxWarnings = 100;

function keyOf({ origins, query, host, kind, refusesRedirects }: Place): string {
  return [...origins, query, host, ...(kind === 'peer' ? [kind, refusesRedirects] : [])].join(' ');
}

/** Requests that several images share have no slot: those of the image for which they begin count as its own all the same. */
function ofSharedRequests({ onRequest, onRetry, traffic }: HttpObserver): HttpObserver {
  return { ...(onRequest && { onRequest }), ...(onRetry && { onRetry }), ...(traffic && { traffic }) };
}

/** Whether another place may succeed. A fault of this machine, such as a full disk, is the same for all places. */
function mayOtherPlaceSucceed(error: unknown): boolean {
  return isImageError(error) && !/^(STORE|FILE)_/.test(error.code);
}

/** A path in a repository of one place: `manifests/1.0`, `blobs/sha256:…`. */
type Target = {
  readonly repository: string;
  readonly path: string;
  /** Asked instead of the path. Another origin is shown no credentials. */
  readonly url?: string;
  /** Default: to pull. */
  readonly access?: Access;
};

/** Sends requests to one place. It connects and gets a token once, and gets another token when that expires. */
type Session = {
  /** The text of the place. */
  readonly key: string;
  /** @throws ImageError AUTH_REQUIRED, AUTH_DENIED, what getDocument throws */
  getDocument(
    target: Target,
    request: Omit<DocumentRequest, SessionFields>,
    signal: AbortSignal,
  ): Promise<{ readonly answer: HttpDocument; readonly isAuthorized: boolean }>;
  /** @throws ImageError AUTH_REQUIRED, AUTH_DENIED, what download throws */
  download(target: Target, request: Omit<DownloadRequest, SessionFields>, signal: AbortSignal): Promise<Downloaded>;
};

/** @param warn - called with the warnings that the place sends. */
function createSession(context: RegistryOptions, place: Place, warn: (text: string) => void): Session {
  const connectOnce = singleFlight(async (signal, observer: HttpObserver | undefined) => {
    const connection = await connect({ ...context, observer }, place, signal);
    return { ...connection, authorizer: createAuthorizer(context, place.host, connection) };
  });

  /** @param hasProgressed - whether bytes have arrived since the last 401: then another 401 does not end the request. */
  async function authorized<T>(
    { repository, path, url: named, access = pullAccess(repository) }: Target,
    { observer, hasProgressed }: { readonly observer: HttpObserver | undefined; readonly hasProgressed: () => boolean },
    send: (request: Pick<DocumentRequest, SessionFields | 'headers'>) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const pacing = observer?.pacing;
    const shared = observer && ofSharedRequests(observer);
    const { origin, authorizer } = await reportWaiting(pacing, () => connectOnce(signal, shared));
    pacing?.onAnswer();
    const url = named ?? `${origin}/v2/${repository}/${withQuery(path, place.query)}`;
    if (named !== undefined && URL.parse(named)?.origin !== origin)
      return send({ url, ownCredentials: true, onRefusal: explainRefusal });
    let authorization = await reportWaiting(pacing, () => authorizer.authorization(access, shared, signal));
    let isFirst = true;
    for (;;) {
      let refusal: Refusal | undefined;
      const onRefusal = (refused: Refusal) => explainRefusal((refusal = refused));
      const headers = authorization === undefined ? {} : { authorization };
      try {
        return await send({ url, ownCredentials: true, onRefusal, headers });
      } catch (error) {
        if (!refusal || !isDenial(error, refusal, origin)) throw error;
        const mayGoOn = hasProgressed() || isFirst;
        isFirst = false;
        const challenges = parseChallenges(refusal.headers['www-authenticate']);
        const another =
          refusal.status === 401 && mayGoOn
            ? await authorizer.renew(access, { sent: authorization, challenges, observer: shared }, signal)
            : undefined;
        if (another === undefined) throw await authorizer.denial(repository, explainRefusal(refusal), error, signal);
        authorization = another;
      }
    }
  }

  return {
    key: keyOf(place),
    getDocument: (target, request, signal) =>
      authorized(
        target,
        { observer: request.observer, hasProgressed: () => false },
        async (own) => {
          const answer = await context.http.getDocument(
            { ...request, ...own, headers: { ...request.headers, ...own.headers } },
            signal,
          );
          warningsOf(answer.headers).forEach(warn);
          return { answer, isAuthorized: Object.keys(own.headers ?? {}).length > 0 };
        },
        signal,
      ),
    download: (target, request, signal) =>
      authorized(
        target,
        { observer: request.observer, hasProgressed: createProgressCheck(request) },
        (own) => context.http.download({ ...request, ...own, headers: { ...request.headers, ...own.headers } }, signal),
        signal,
      ),
  };
}

function withQuery(path: string, query: string): string {
  return path + (path.includes('?') ? query.replace('?', '&') : query);
}

/** Reports that a request waits for its server, during work that several requests share and that reports nothing itself. */
async function reportWaiting<T>(pacing: Pacing | undefined, work: () => Promise<T>): Promise<T> {
  pacing?.onWaiting(true);
  try {
    return await work();
  } finally {
    pacing?.onWaiting(false);
  }
}

/** Returns a function that returns whether enough bytes have arrived since its last call for tries to be counted anew. */
function createProgressCheck({ sink, size }: Pick<DownloadRequest, 'sink' | 'size'>): () => boolean {
  let before = sink.bytes;
  return () => {
    if (sink.bytes - before < leastProgress(before, size)) return false;
    before = sink.bytes;
    return true;
  };
}

/** Whether the registry itself refuses the credentials. After a redirect to another host, none were sent. */
function isDenial(error: unknown, { url, status }: Refusal, origin: string): error is ImageError {
  return (
    isImageError(error) &&
    hasCode(error, 'HTTP_STATUS') &&
    (status === 401 || status === 403) &&
    new URL(url).origin === origin
  );
}
