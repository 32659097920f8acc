import { hasCode, isImageError } from '../errors.ts';
import type { Refusal } from '../http/contract.ts';
import { parseChallenges, type Challenge } from './authorizer.ts';
import type { Place } from './place.ts';
import type { RegistryOptions } from './types.ts';

/** The origin of a place that answers, and the ways in that it offers to strangers. */
export type Connection = { readonly origin: string; readonly challenges: readonly Challenge[] };

type Context = Pick<RegistryOptions, 'http' | 'observer' | 'limits'>;

/**
 * Asks whether a registry is there: over https, and where http is allowed over that once https has failed.
 *
 * @throws ImageError what the last try met; of https, where http did not answer as a registry does.
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
    if (!isNotThere(error)) throw error;
    try {
      return await ping(context, second, undefined, signal);
    } catch (failure) {
      signal.throwIfAborted();
      throw isNotThere(failure) || hasCode(failure, 'REDIRECT_REFUSED') || isStatus(failure, 400) ? error : failure;
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
        limit: { name: 'registry-manifest', bytes: limits.registryManifest },
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

/** Many registries have nothing at this path; over http only a registry counts, since servers of https answer there too. */
function isAnswer({ status }: Refusal, origin: string): boolean {
  return origin.startsWith('https:') ? status >= 400 && status < 500 : status === 401;
}

function isNotThere(error: unknown): boolean {
  return (
    isImageError(error) && ['NETWORK', 'TLS', 'TIMEOUT', 'RESPONSE_INVALID', 'LENGTH_MISMATCH'].includes(error.code)
  );
}

/** 400 is how servers of https answer over http. */
function isStatus(error: unknown, status: number): boolean {
  return hasCode(error, 'HTTP_STATUS') && error.details.status === status;
}
