import { ImageError } from '../errors.ts';
import { showUrl } from '../image/show-url.ts';
import { show } from '../image/show.ts';
import type { HttpContext } from './context.ts';
import { withExchange } from './exchange.ts';
import { headerOf } from './headers.ts';
import type { Headers, HttpObserver, RequestOptions, TransportRequest, TransportResponse } from './types.ts';

/** Header names are lower case. */
export type Ask = TransportRequest & Pick<RequestOptions, 'ownCredentials' | 'redirects'>;

/** `url` is the last one of the chain. */
export type Answer = TransportResponse & { readonly url: string };

type Hop<T> = { readonly kind: 'onward'; readonly url: URL } | { readonly kind: 'done'; readonly value: T };

/**
 * Follows redirects to the answer, which lives as long as `use` runs. Credentials are looked up for each hop anew, and
 * sent over https only.
 *
 * @throws ImageError REDIRECT_REFUSED before a request that must not be made; REFERENCE_INVALID for a URL to begin with.
 * @see docs/rules.md H7, H8
 */
export async function withAnswer<T>(
  context: HttpContext,
  ask: Ask,
  observer: HttpObserver | undefined,
  use: (answer: Answer) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  let url = firstUrl(ask.url);
  let headers = ask.headers;
  const visited = new Set<string>();
  for (;;) {
    visited.add(url.href);
    if (visited.size > context.options.limits.redirects + 1) {
      throw refused(url, `more than ${context.options.limits.redirects} redirects`);
    }
    const here = url;
    observer?.onRequest?.(showUrl(here.href));
    const request = {
      method: ask.method,
      url: here.href,
      headers: headersFor(context, here, headers, ask.ownCredentials),
      ...(ask.content !== undefined && { content: ask.content }),
    };
    const hop = await withExchange<Hop<T>>(
      context,
      request,
      async (response) => {
        if (!isRedirect(response.status)) return { kind: 'done', value: await use({ ...response, url: here.href }) };
        return { kind: 'onward', url: redirectTarget(here, response.headers, visited) };
      },
      signal,
    );
    if (hop.kind === 'done') return hop.value;
    if (!mayLead(ask.redirects, url, hop.url)) throw refused(url, 'a redirect of what may not be redirected', hop.url);
    if (hop.url.origin !== url.origin) headers = withoutSecrets(headers);
    url = hop.url;
  }
}

/** Where a redirect leads. @throws ImageError REDIRECT_REFUSED */
export function redirectTarget(from: URL, headers: Headers, visited: ReadonlySet<string>): URL {
  const location = headerOf(headers, 'location');
  if (location === undefined) throw refused(from, 'a redirect without one location');
  const to = URL.parse(location, from.href);
  if (to === null) throw refused(from, `a redirect to something that is no URL: ${showUrl(location)}`);
  const why = reasonToRefuse(from, to, visited);
  if (why !== undefined) throw refused(from, why, to);
  to.hash = '';
  return to;
}

function mayLead(redirects: Ask['redirects'], from: URL, to: URL): boolean {
  return redirects === undefined || (redirects === 'same-origin' && from.origin === to.origin);
}

function reasonToRefuse(from: URL, to: URL, visited: ReadonlySet<string>): string | undefined {
  if (!isHttp(to)) return `a redirect to ${show(to.protocol)}`;
  if (hasUser(to)) return 'a redirect with a user or a password in it';
  if (from.protocol === 'https:' && to.protocol === 'http:') return 'a redirect from https to http';
  return visited.has(to.href.replace(/#.*$/s, '')) ? 'a redirect in a circle' : undefined;
}

function refused(from: URL, why: string, to?: URL): ImageError {
  const details = { from: showUrl(from.href), ...(to && { to: showUrl(to.href) }) };
  return new ImageError('REDIRECT_REFUSED', to ? `${why}: ${details.to}` : `${why} (${details.from})`, details);
}

function firstUrl(text: string): URL {
  const url = URL.parse(text);
  if (url === null || !isHttp(url) || hasUser(url)) {
    const input = showUrl(text);
    throw new ImageError('REFERENCE_INVALID', `not an http or https URL without user and password: ${input}`, {
      input,
    });
  }
  url.hash = '';
  return url;
}

function headersFor(
  { options }: HttpContext,
  url: URL,
  headers: Ask['headers'],
  ownCredentials = false,
): Record<string, string> {
  return {
    'user-agent': options.userAgent,
    'accept-encoding': 'identity', // what is on the wire is the file: docs/rules.md H9
    ...(url.protocol === 'https:' && !ownCredentials && lowerCase(options.credentials(url) ?? {})),
    ...headers,
  };
}

function lowerCase(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

const secrets = new Set(['authorization', 'cookie', 'proxy-authorization']);

function withoutSecrets(headers: Ask['headers']): Ask['headers'] {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !secrets.has(name)));
}

function isRedirect(status: number): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308;
}

function isHttp({ protocol }: URL): boolean {
  return protocol === 'http:' || protocol === 'https:';
}

function hasUser({ username, password }: URL): boolean {
  return username !== '' || password !== '';
}
