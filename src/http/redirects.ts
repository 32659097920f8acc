import { ImageError } from '../errors.ts';
import { show, showUrl } from '../image/show.ts';
import { type ExactUrl, parseExactUrl } from '../image/url.ts';
import { debugLog } from '../system/debug.ts';
import type { HeaderFields, HttpObserver, RequestOptions, TransportRequest, TransportResponse } from './contract.ts';
import { type HttpContext, withExchange } from './exchange.ts';
import { headerOf } from './headers.ts';

const debug = debugLog('http');

/** A request that may be redirected. Header names are in lower case. */
export type RedirectedRequest = TransportRequest &
  Pick<RequestOptions, 'ownCredentials' | 'redirects' | 'answerMs' | 'pace'>;

/** `url` is that of the last redirect. */
export type FinalResponse = TransportResponse & { readonly url: string };

type Hop<T> = { readonly kind: 'onward'; readonly to: ExactUrl } | { readonly kind: 'done'; readonly value: T };

/**
 * Follows redirects and passes the final answer to `use`; the answer is valid until `use` ends. Credentials are looked up for each
 * URL on the way, and sent over https only.
 *
 * @throws ImageError REDIRECT_REFUSED instead of following a redirect that is not allowed; REFERENCE_INVALID if the first URL is
 * not one to request.
 * @see docs/rules.md H7, H8
 */
export async function withResponse<T>(
  context: HttpContext,
  ask: RedirectedRequest,
  observer: HttpObserver | undefined,
  use: (answer: FinalResponse) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  let current = firstUrl(ask.url);
  let headers = ask.headers;
  const visited = new Set<string>();
  for (;;) {
    visited.add(current.href);
    if (visited.size > context.options.limits.redirects + 1) {
      throw redirectRefused(current, `more than ${context.options.limits.redirects} redirects`);
    }
    const from = current;
    observer?.onRequest?.();
    const request = {
      method: ask.method,
      url: from.href,
      headers: headersFor(context, from.url, headers, ask.ownCredentials),
      ...(ask.content !== undefined && { content: ask.content }),
      ...(ask.body && { body: ask.body }),
    };
    const askedMs = performance.now();
    const hop = await withExchange<Hop<T>>(
      context,
      request,
      {
        host: from.url.host,
        ...{ pacing: observer?.pacing, traffic: observer?.traffic, answerMs: ask.answerMs, pace: ask.pace },
      },
      async (response) => {
        context.health.noteAnswer(from.url.origin);
        debug(() => {
          const range = headerOf(response.headers, 'content-range');
          const what = `${ask.method} ${showUrl(from.href)}: ${response.status}${range === undefined ? '' : `, ${show(range)}`}`;
          return `${what}, answered after ${Math.round(performance.now() - askedMs)} ms`;
        });
        observer?.onAnswer?.(from.url.host);
        if (!isRedirect(response.status)) return { kind: 'done', value: await use({ ...response, url: from.href }) };
        return { kind: 'onward', to: redirectTarget(from, response.headers, visited) };
      },
      signal,
    );
    if (hop.kind === 'done') return hop.value;
    if (!mayRedirect(ask.redirects, from, hop.to))
      throw redirectRefused(from, 'a redirect, which this request does not allow', hop.to);
    if (hop.to.url.origin !== from.url.origin) headers = withoutSecrets(headers);
    current = hop.to;
    debug(() => `redirected to ${showUrl(current.href)}`);
  }
}

/** The target of a redirect. @throws ImageError REDIRECT_REFUSED */
function redirectTarget(from: ExactUrl, headers: HeaderFields, visited: ReadonlySet<string>): ExactUrl {
  const written = headerOf(headers, 'location');
  if (written === undefined) throw redirectRefused(from, 'a redirect without a single location');
  const location = withBytesEncoded(written);
  const parsed = URL.parse(location, from.href);
  if (parsed === null) throw redirectRefused(from, `a redirect to something that is no URL: ${showUrl(location)}`);
  const to = parseExactUrl(location, from.href) ?? { url: parsed, href: parsed.href };
  const why = reasonToRefuse(from, to, visited);
  if (why !== undefined) throw redirectRefused(from, why, to);
  return to;
}

/** Percent-encodes the bytes of a Location that are not ASCII. Headers have one character for each byte, whatever the encoding. */
function withBytesEncoded(location: string): string {
  return location.replace(/[\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`);
}

function mayRedirect(redirects: RedirectedRequest['redirects'], from: ExactUrl, to: ExactUrl): boolean {
  return redirects === undefined || (redirects === 'same-origin' && from.url.origin === to.url.origin);
}

function reasonToRefuse(
  { url: from }: ExactUrl,
  { url: to, href }: ExactUrl,
  visited: ReadonlySet<string>,
): string | undefined {
  if (!isHttp(to)) return `a redirect to ${show(to.protocol)}`;
  if (hasUser(to)) return 'a redirect with a user or a password in it';
  if (from.protocol === 'https:' && to.protocol === 'http:') return 'a redirect from https to http';
  return visited.has(href) ? 'a redirect in a circle' : undefined;
}

function redirectRefused(from: ExactUrl, why: string, to?: ExactUrl): ImageError {
  const details = { from: showUrl(from.href), ...(to && { to: showUrl(to.url.href) }) };
  return new ImageError('REDIRECT_REFUSED', to ? `${why}: ${details.to}` : `${why} (${details.from})`, details);
}

function firstUrl(text: string): ExactUrl {
  const exact = parseExactUrl(text);
  if (!exact || hasUser(exact.url)) {
    const input = showUrl(text);
    throw new ImageError('REFERENCE_INVALID', `not an http or https URL without user and password: ${input}`, {
      input,
    });
  }
  return exact;
}

function headersFor(
  { options }: HttpContext,
  url: URL,
  headers: RedirectedRequest['headers'],
  ownCredentials = false,
): Record<string, string> {
  return {
    'user-agent': options.userAgent,
    'accept-encoding': 'identity', // the bytes on the wire must be those of the file: docs/rules.md H9
    ...(url.protocol === 'https:' && !ownCredentials && lowerCase(options.credentials(url) ?? {})),
    ...headers,
  };
}

function lowerCase(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

const secrets = new Set(['authorization', 'cookie', 'proxy-authorization']);

function withoutSecrets(headers: RedirectedRequest['headers']): RedirectedRequest['headers'] {
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
