import { ImageError, isImageError } from '../errors.ts';
import type { Document, DocumentRequest, Downloaded, DownloadRequest } from '../http/types.ts';
import { createMirrorHealth, impatient } from './mirror-health.ts';
import { placesOf, type Asked, type Place } from './place.ts';
import { createSession, type Session, type Target } from './session.ts';
import type { RegistryOptions } from './types.ts';

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
    accept: (answer: Document) => T,
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
      if (place.isMirror && !asking) continue;
      try {
        const answer = await work(sessionOf(place), { repository: place.repository, path: target.path }, place);
        asking?.answered();
        return answer;
      } catch (error) {
        signal.throwIfAborted();
        failure = error;
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
