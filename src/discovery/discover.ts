import { asImageError, hasCode, ImageError } from '../errors.ts';
import type { Http, HttpObserver } from '../http/contract.ts';
import { isWithinPrefix, withParents } from '../image/ac-identifier.ts';
import type { Labels } from '../image/labels.ts';
import { show, showUrl } from '../image/show.ts';
import { debugLog } from '../system/debug.ts';
import type { MetaTag } from './meta-tags.ts';
import { type Endpoint, renderTemplate } from './template.ts';

const debug = debugLog('discovery');

export type DiscoveryContext = {
  readonly http: Pick<Http, 'getDocument'>;
  /** `--insecure-options=http`: pages and templates may be http. */
  readonly allowHttp: boolean;
  /** `--insecure-options=pubkey`: a page over http may say which keys are trusted. */
  readonly keysByHttp: boolean;
  readonly origins: readonly DiscoveryOrigin[];
  /** The most bytes of a page. */
  readonly pageBytes: number;
  /** The most endpoints that are tried for one name. */
  readonly endpoints: number;
  readonly observer?: HttpObserver;
  /** What to suggest when the name is not found. */
  readonly didYouMean?: string | undefined;
};

/**
 * Finds the endpoints of an image, in the order to try them.
 *
 * @throws DISCOVERY_FAILED with all attempts; HTTP_STATUS if each was answered with 401 or 403; LIMIT_EXCEEDED for a page over the
 * limit.
 * @see appc spec/discovery.md, docs/rules.md D1-D6
 */
export async function discoverEndpoints(
  context: DiscoveryContext,
  name: string,
  labels: Labels,
  signal: AbortSignal,
): Promise<readonly Endpoint[]> {
  const found = await searchPages(context, name, signal, (tags, isAllowed) =>
    tags
      .flatMap(({ kind, uri }) => (kind === 'endpoint' ? (renderTemplate(uri, name, labels) ?? []) : []))
      .filter(({ archiveUrl, signatureUrl }) => isAllowed(archiveUrl) && isAllowed(signatureUrl)),
  );
  return found.slice(0, context.endpoints);
}

/** `isProven`: whether https proves that the key is offered for the name. It comes over it, and so did the page. */
export type OfferedKey = { readonly url: string; readonly isProven: boolean };

/** Finds the signing keys for a name, or for a prefix of names. @throws as discoverEndpoints */
export function discoverKeys(
  context: DiscoveryContext,
  name: string,
  signal: AbortSignal,
): Promise<readonly OfferedKey[]> {
  return searchPages(context, name, signal, (tags, isAllowed, page) =>
    tags.flatMap(({ kind, uri }) => {
      if (kind !== 'key' || !isAllowed(uri)) return [];
      const isProven = [uri, ...(context.keysByHttp ? [] : [page])].every((url) => /^https:/i.test(url));
      return { url: uri, isProven };
    }),
  );
}

/** Gets the page of the name, and then those of its parents, until one has a usable tag. */
async function searchPages<T>(
  context: DiscoveryContext,
  name: string,
  signal: AbortSignal,
  pick: (tags: readonly MetaTag[], isAllowed: (url: string) => boolean, page: string) => readonly T[],
): Promise<readonly T[]> {
  const { didYouMean } = context;
  const mapped = originFor(name, context.origins);
  const isAllowed = (url: string): boolean => isAllowedFor(context, name, url);
  const attempts: string[] = [];
  let cause: ImageError | undefined;
  let isDenied = true;
  for (const level of withParents(name)) {
    for (const url of pageUrls(level, mapped, context.allowHttp)) {
      try {
        const tags = await getTags(context, url, signal);
        const found = pick(
          tags.filter(({ prefix }) => isWithinPrefix(name, prefix)),
          isAllowed,
          url,
        );
        debug(() => `${showUrl(url)}: ${tags.length} tags, ${found.length} of them usable for ${show(name)}`);
        if (found.length > 0) return found;
        attempts.push(`${showUrl(url)}: no usable tag`);
        isDenied = false;
        break;
      } catch (error) {
        if (signal.aborted || hasCode(error, 'LIMIT_EXCEEDED')) throw error;
        cause = asImageError(error);
        isDenied &&= hasCode(error, 'HTTP_STATUS') && [401, 403].includes(error.details.status);
        attempts.push(`${showUrl(url)}: ${cause.code}: ${cause.message}`);
        debug(() => attempts.at(-1) ?? '');
      }
    }
  }
  const what = `no page has a usable tag for ${show(name)}; asked ${attempts.join('; ')}`;
  // HTTP_STATUS, since the advice for it speaks of credentials
  const suggestion = didYouMean !== undefined && { didYouMean };
  if (isDenied && hasCode(cause, 'HTTP_STATUS'))
    throw new ImageError('HTTP_STATUS', what, { ...cause.details, ...suggestion }, { cause });
  throw new ImageError('DISCOVERY_FAILED', what, { name, attempts, ...suggestion }, { cause });
}

/** Whether a URL that is found for a name may be used. @see docs/rules.md D4 */
export function isAllowedFor(
  { allowHttp, origins }: Pick<DiscoveryContext, 'allowHttp' | 'origins'>,
  name: string,
  url: string,
): boolean {
  const parsed = URL.parse(url);
  if (parsed?.protocol === 'https:') return true;
  if (parsed?.protocol !== 'http:') return false;
  const mapped = originFor(name, origins);
  return allowHttp || (mapped !== undefined && URL.parse(mapped.origin)?.origin === parsed.origin);
}

/** The host that the pages of a name are asked from. */
export function pageHost({ origins }: Pick<DiscoveryContext, 'origins'>, name: string): string | undefined {
  return URL.parse(originFor(name, origins)?.origin ?? `https://${name}`)?.host;
}

/** The URLs of a page in the order to try them: https, then http if it is allowed. */
function pageUrls(level: string, mapped: DiscoveryOrigin | undefined, allowHttp: boolean): readonly string[] {
  if (mapped) return [`${mapped.origin.replace(/\/+$/, '')}/${level}?ac-discovery=1`];
  const page = `${level}?ac-discovery=1`;
  return allowHttp ? [`https://${page}`, `http://${page}`] : [`https://${page}`];
}

async function getTags(
  { http, pageBytes, observer }: DiscoveryContext,
  url: string,
  signal: AbortSignal,
): Promise<readonly MetaTag[]> {
  const limit = { name: 'page', bytes: pageBytes };
  const request = {
    url,
    limit,
    statuses: [200],
    retries: 1,
    headers: { accept: 'text/html' },
    ...(observer && { observer }),
  };
  const { body } = await http.getDocument(request, signal);
  const { parseMetaTags } = await import('./meta-tags.ts'); // loads an HTML parser, which many runs do not need
  return parseMetaTags(new TextDecoder().decode(body));
}

/** Discovery of names under `prefix` asks `origin` instead of the host in the name. */
type DiscoveryOrigin = { readonly prefix: string; readonly origin: string };

/** The origin with the longest prefix of the name; a prefix ends at a slash. */
function originFor(name: string, origins: readonly DiscoveryOrigin[]): DiscoveryOrigin | undefined {
  return origins
    .filter(({ prefix }) => isWithinPrefix(name, prefix))
    .reduce<DiscoveryOrigin | undefined>(
      (best, next) => (best && best.prefix.length >= next.prefix.length ? best : next),
      undefined,
    );
}
