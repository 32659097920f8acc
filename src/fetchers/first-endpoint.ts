import type { Endpoint } from '../discovery/template.ts';
import { hasCode, ImageError, isImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import { showUrl } from '../image/show-url.ts';
import type { FetchContext } from './context.ts';
import type { SignatureSource } from './signature.ts';
import type { Wanted } from './wanted.ts';

export type EndpointsRequest = {
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
