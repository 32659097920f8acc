import { asImageError, ImageError, isImageError, hasCode } from '../errors.ts';
import type { HttpDocument, DocumentRequest, Downloaded, DownloadRequest, Pacing, Refusal } from '../http/contract.ts';
import { createMirrorHealth, impatient } from './mirror-health.ts';
import { placesOf, type Asked, type Place } from './place.ts';
import type { RegistryOptions } from './types.ts';
import { leastProgress } from '../http/pump.ts';
import { createAuthorizer, parseChallenges } from './authorizer.ts';
import { connect } from './connect.ts';
import { explain, warningsOf } from './token.ts';
import { singleFlight } from '../system/single-flight.ts';
import { debugLog } from '../system/debug.ts';
import { show } from '../image/show.ts';

const debug = debugLog('registry');

/** Something of a registry, and whether what answers can be checked against a digest. */
export type RegistryTarget = Asked & {
  readonly path: string;
  /** Hosts of mirrors that are not asked: what they had was bad. */
  readonly without?: ReadonlySet<string>;
};

type Own = 'url' | 'ownCredentials' | 'onRefusal';

/** `from` is where the last of it came from: the host of the registry or of a mirror. */
export type DownloadedFrom = Downloaded & { readonly from: Pick<Place, 'host' | 'isMirror'> };

/** Asks registries and their mirrors; what it learns of them is kept for as long as it lives. */
export type RegistryClient = {
  readonly options: RegistryOptions;
  /** @param accept - what it throws makes the next place be asked. */
  getDocument<T>(
    target: RegistryTarget,
    request: Omit<DocumentRequest, Own>,
    accept: (answer: HttpDocument) => T,
    signal: AbortSignal,
  ): Promise<T>;
  download(target: RegistryTarget, request: Omit<DownloadRequest, Own>, signal: AbortSignal): Promise<DownloadedFrom>;
};

export function createRegistryClient(options: RegistryOptions): RegistryClient {
  const sessions = new Map<string, Session>();
  const warned = new Set<string>();
  const mirrors = createMirrorHealth(options);
  const ofMirrors = { ...options, http: impatient(options.http) };

  function sessionOf(place: Place): Session {
    const key = keyOf(place);
    const known = sessions.get(key);
    if (known) return known;
    const { fault, warnings = [] } = options.certificates?.get(place.host) ?? {};
    warnings.forEach(warn);
    if (fault) throw fault;
    const context = place.isMirror ? ofMirrors : options;
    const session = createSession(context, place, (text) => warn(`${place.host} says: ${text}`));
    sessions.set(key, session);
    return session;
  }

  function warn(message: string): void {
    if (warned.has(message) || warned.size >= maxWarnings) return;
    warned.add(message);
    options.onWarning(message);
  }

  async function ask<T>(
    target: RegistryTarget,
    work: (session: Session, there: Target, place: Place) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const { places, blocked } = placesOf(target, options);
    let failure: unknown;
    for (const place of places) {
      const isWanted = place.isMirror && !target.without?.has(place.host);
      const asking = isWanted ? mirrors.ask(keyOf(place)) : undefined;
      if (place.isMirror && !asking) {
        debug(() => `${show(target.path)}: the mirror ${show(place.host)} is left out`);
        continue;
      }
      debug(() => {
        const what = place.isMirror ? 'the mirror' : 'the registry';
        return `${show(target.path)} of ${show(place.repository)}: asks ${what} ${show(place.host)}`;
      });
      try {
        const answer = await work(sessionOf(place), { repository: place.repository, path: target.path }, place);
        asking?.answered();
        return answer;
      } catch (error) {
        signal.throwIfAborted();
        failure = error;
        debug(() => {
          const { code, message } = asImageError(error);
          return `${show(target.path)} of ${show(place.host)}: ${code}: ${message}`;
        });
        if (!place.isMirror || !isOfPlace(error)) break;
        if (isOfContent(error)) warn(`the mirror ${place.host} has something else as ${target.path}: ${error.message}`);
        asking?.failed(error, place.host);
      }
    }
    if (blocked && isOfPlace(failure ?? blocked))
      throw new ImageError(blocked.code, blocked.message, blocked.details, { cause: failure });
    throw failure;
  }

  return {
    options,
    getDocument: (target, request, accept, signal) =>
      ask(target, async (session, there) => accept(await session.getDocument(there, request, signal)), signal),
    download: (target, request, signal) =>
      ask(
        target,
        async (session, there, { host, isMirror }) => ({
          ...(await session.download(there, request, signal)),
          from: { host, isMirror },
        }),
        signal,
      ),
  };
}

const maxWarnings = 100;

function keyOf({ origins, query, host }: Place): string {
  return [...origins, query, host].join(' ');
}

/** True for what came, and is not what it should be. */
function isOfContent(error: unknown): error is ImageError {
  return isImageError(error) && ['DIGEST_MISMATCH', 'SIZE_MISMATCH', 'MANIFEST_INVALID'].includes(error.code);
}

/** True for what another place may do better: a full disk stays full. */
function isOfPlace(error: unknown): boolean {
  return isImageError(error) && !/^(STORE|FILE)_/.test(error.code);
}

/** Something of a repository, as it is called there: `manifests/1.0`, `blobs/sha256:…`. */
type Target = { readonly repository: string; readonly path: string };

/** Requests to one place: where it is and how it is entered are found out once, and again when a token ends. */
type Session = {
  /** @throws ImageError AUTH_REQUIRED, AUTH_DENIED, what getDocument throws */
  getDocument(target: Target, request: Omit<DocumentRequest, Own>, signal: AbortSignal): Promise<HttpDocument>;
  /** @throws ImageError AUTH_REQUIRED, AUTH_DENIED, what download throws */
  download(target: Target, request: Omit<DownloadRequest, Own>, signal: AbortSignal): Promise<Downloaded>;
};

/** @param warn - told of what the place wants people to know. */
function createSession(
  context: RegistryOptions,
  place: Pick<Place, 'host' | 'origins' | 'query'>,
  warn: (text: string) => void,
): Session {
  const enter = singleFlight(async (signal) => {
    const connection = await connect(context, place, signal);
    return { ...connection, authorizer: createAuthorizer(context, place.host, connection) };
  });

  /** @param hasProgressed - since the last 401: a reason to go on after the next one. */
  async function authorized<T>(
    { repository, path }: Target,
    { pacing, hasProgressed }: { readonly pacing: Pacing | undefined; readonly hasProgressed: () => boolean },
    send: (request: Pick<DocumentRequest, Own | 'headers'>) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const { origin, authorizer } = await waitingFor(pacing, () => enter(signal));
    pacing?.onAnswer();
    const url = `${origin}/v2/${repository}/${path}${place.query}`;
    let authorization = await waitingFor(pacing, () => authorizer.authorization(repository, signal));
    let isFirst = true;
    for (;;) {
      let refusal: Refusal | undefined;
      const onRefusal = (refused: Refusal) => explain((refusal = refused));
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
            ? await authorizer.renew(repository, { sent: authorization, challenges }, signal)
            : undefined;
        if (another === undefined) throw await authorizer.denial(repository, explain(refusal), error, signal);
        authorization = another;
      }
    }
  }

  return {
    getDocument: (target, request, signal) =>
      authorized(
        target,
        { pacing: request.observer?.pacing, hasProgressed: () => false },
        async (own) => {
          const answer = await context.http.getDocument(
            { ...request, ...own, headers: { ...request.headers, ...own.headers } },
            signal,
          );
          warningsOf(answer.headers).forEach(warn);
          return answer;
        },
        signal,
      ),
    download: (target, request, signal) =>
      authorized(
        target,
        { pacing: request.observer?.pacing, hasProgressed: progressOf(request) },
        (own) => context.http.download({ ...request, ...own, headers: { ...request.headers, ...own.headers } }, signal),
        signal,
      ),
  };
}

/** Of requests that many images share, none of which makes them: all of them wait for the server. */
async function waitingFor<T>(pacing: Pacing | undefined, work: () => Promise<T>): Promise<T> {
  pacing?.onWaiting(true);
  try {
    return await work();
  } finally {
    pacing?.onWaiting(false);
  }
}

/** Whether as much has come since this was last asked as makes tries count anew. */
function progressOf({ sink, size }: Pick<DownloadRequest, 'sink' | 'size'>): () => boolean {
  let before = sink.bytes;
  return () => {
    if (sink.bytes - before < leastProgress(before, size)) return false;
    before = sink.bytes;
    return true;
  };
}

/** Only the registry itself can want other credentials: where it sent us to, none were shown. */
function isDenial(error: unknown, { url, status }: Refusal, origin: string): error is ImageError {
  return (
    isImageError(error) &&
    hasCode(error, 'HTTP_STATUS') &&
    (status === 401 || status === 403) &&
    new URL(url).origin === origin
  );
}
