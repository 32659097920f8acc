import { hasCode, isImageError } from '../errors.ts';
import type { HttpObserver, Refusal } from '../http/contract.ts';
import { type Connection, parseChallenges } from './authorizer.ts';
import type { Place } from './place.ts';
import type { RegistryOptions } from './types.ts';

type Context = Pick<RegistryOptions, 'http' | 'limits'> & { readonly observer: HttpObserver | undefined };

/**
 * Finds the origin at which a registry answers: over https, and if that fails and http is allowed, over http.
 *
 * @throws ImageError the error of http if a registry answered over http; else that of https.
 */
export async function connect(
  context: Context,
  place: Pick<Place, 'origins'>,
  signal: AbortSignal,
): Promise<Connection> {
  const [first = '', second] = place.origins;
  if (second === undefined) return ping(context, first, undefined, signal);
  try {
    return await ping(context, first, 0, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (isBusy(error, context.limits.retryAfter)) return ping(context, first, undefined, signal); // it speaks https
    if (!isUnreachable(error)) throw error;
    try {
      return await ping(context, second, undefined, signal);
    } catch (failure) {
      signal.throwIfAborted();
      throw isUnreachable(failure) || hasCode(failure, 'REDIRECT_REFUSED') || isStatus(failure, 400) ? error : failure;
    }
  }
}

async function ping(
  { http, observer, limits }: Context,
  origin: string,
  retries: number | undefined,
  signal: AbortSignal,
): Promise<Connection> {
  let refusal: Refusal | undefined;
  try {
    await http.getDocument(
      {
        url: `${origin}/v2/`,
        ownCredentials: true,
        ...(origin.startsWith('http:') && { redirects: 'same-origin' }),
        limit: { name: 'registryManifest', bytes: limits.registryManifest },
        statuses: [200],
        onRefusal: (refused) => {
          refusal = refused;
          return undefined;
        },
        ...(retries !== undefined && { retries }),
        ...(observer && { observer }),
      },
      signal,
    );
    return { origin, challenges: [] };
  } catch (error) {
    if (!refusal || !hasCode(error, 'HTTP_STATUS') || !isAnswer(refusal, origin)) throw error;
    const isOwn = refusal.status === 401 && new URL(refusal.url).origin === origin;
    return { origin, challenges: isOwn ? parseChallenges(refusal.headers['www-authenticate']) : [] };
  }
}

/** Many registries answer 404 at this path. Over http only a 401 is accepted, since an https server may answer http requests too. */
function isAnswer({ status }: Refusal, origin: string): boolean {
  return origin.startsWith('https:') ? status >= 400 && status < 500 : status === 401;
}

/** Whether a server has answered that may answer otherwise later. @param longestMs - the longest Retry-After that is waited for */
function isBusy(error: unknown, longestMs: number): boolean {
  if (hasCode(error, 'RATE_LIMITED')) return (error.details.retryAfterMs ?? 0) <= longestMs;
  return hasCode(error, 'HTTP_STATUS') && (error.details.status >= 500 || [408, 425].includes(error.details.status));
}

function isUnreachable(error: unknown): boolean {
  return (
    isImageError(error) && ['NETWORK', 'TLS', 'TIMEOUT', 'RESPONSE_INVALID', 'LENGTH_MISMATCH'].includes(error.code)
  );
}

/** An https server that receives an http request answers 400. */
function isStatus(error: unknown, status: number): boolean {
  return hasCode(error, 'HTTP_STATUS') && error.details.status === status;
}
