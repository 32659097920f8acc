import { hasCode, isImageError, type ImageError } from '../errors.ts';
import type { Document, DocumentRequest, Downloaded, DownloadRequest, Pacing, Refusal } from '../http/types.ts';
import { leastProgress } from '../http/progress.ts';
import { createAuthorizer } from './authorizer.ts';
import { parseChallenges } from './challenge.ts';
import { connect } from './connect.ts';
import { explain, warningsOf } from './explain.ts';
import { once } from './once.ts';
import type { Place } from './place.ts';
import type { RegistryOptions } from './types.ts';

/** Something of a repository, as it is called there: `manifests/1.0`, `blobs/sha256:…`. */
export type Target = { readonly repository: string; readonly path: string };

type Own = 'url' | 'ownCredentials' | 'onRefusal';

/** Requests to one place: where it is and how it is entered are found out once, and again when a token ends. */
export type Session = {
  /** @throws ImageError AUTH_REQUIRED, AUTH_DENIED, what getDocument throws */
  getDocument(target: Target, request: Omit<DocumentRequest, Own>, signal: AbortSignal): Promise<Document>;
  /** @throws ImageError AUTH_REQUIRED, AUTH_DENIED, what download throws */
  download(target: Target, request: Omit<DownloadRequest, Own>, signal: AbortSignal): Promise<Downloaded>;
};

/** @param warn - told of what the place wants people to know. */
export function createSession(
  context: RegistryOptions,
  place: Pick<Place, 'host' | 'origins' | 'query'>,
  warn: (text: string) => void,
): Session {
  const enter = once(async (signal) => {
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
