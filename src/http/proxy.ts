import { ImageError } from '../errors.ts';
import type { Target } from './connect-to.ts';
import { parseNoProxy } from './no-proxy.ts';
import type { HttpOptions } from './types.ts';

/** What a proxy gets of its user: never an origin server, never a message. */
export type ProxyUser = { readonly name: string; readonly password: string };

/** `shown` is its URL for messages, without user and password. */
export type Proxy = { readonly shown: string; readonly user: ProxyUser | undefined } & (
  { readonly kind: 'http'; readonly origin: URL } | { readonly kind: 'socks5'; readonly target: Target }
);

/**
 * @returns which proxy serves a URL, if any.
 * @throws ImageError USAGE for a proxy that is not an http(s) or socks5 URL or `host:port`.
 */
export function parseProxies({
  http,
  https,
  all,
  noProxy = '',
}: HttpOptions['proxy']): (url: URL) => Proxy | undefined {
  const [forHttp, forHttps] = [
    http ? parseProxy(http, 'HTTP_PROXY') : parseProxy(all, 'ALL_PROXY'),
    https ? parseProxy(https, 'HTTPS_PROXY') : parseProxy(all, 'ALL_PROXY'),
  ];
  const isExempt = parseNoProxy(noProxy);
  return (url) => (isExempt(url) ? undefined : url.protocol === 'https:' ? forHttps : forHttp);
}

function parseProxy(value: string | undefined, name: string): Proxy | undefined {
  if (!value) return undefined;
  const url = URL.parse(value.includes('://') ? value : `http://${value}`);
  const isSocks = url !== null && /^socks(5h?)?:$/.test(url.protocol); // with any of them, names are the proxy's to resolve
  if (url === null || url.hostname === '' || !(isSocks || /^https?:$/.test(url.protocol))) {
    throw new ImageError('USAGE', `${name} is not an http, https or socks5 URL`, { option: name });
  }
  const about = { shown: `${url.protocol}//${url.host}`, user: userOf(url, name) };
  if (!isSocks) return { kind: 'http', origin: new URL(url.origin), ...about };
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return { kind: 'socks5', target: { host, port: Number(url.port || 1080) }, ...about };
}

function userOf({ username, password }: URL, name: string): ProxyUser | undefined {
  if (username === '' && password === '') return undefined;
  try {
    return { name: decodeURIComponent(username), password: decodeURIComponent(password) };
  } catch (cause) {
    throw new ImageError('USAGE', `${name} has a broken percent-encoding`, { option: name }, { cause });
  }
}

/** Its Proxy-Authorization. */
export function authorizationOf({ user }: Proxy): Readonly<Record<string, string>> {
  if (!user) return {};
  return { 'proxy-authorization': `Basic ${Buffer.from(`${user.name}:${user.password}`).toString('base64')}` };
}

/** Another user or password will be wanted every time; other refusals may pass. */
export function proxyRefusal({ shown, user }: Proxy, status: number): ImageError {
  const details = { url: shown, proxy: shown };
  if (status !== 407) {
    return new ImageError('NETWORK', `the proxy ${shown} answered ${status}`, {
      ...details,
      reason: `proxy ${status}`,
    });
  }
  const message = user ? 'refuses its user and password' : 'wants a user and a password';
  return new ImageError('HTTP_STATUS', `the proxy ${shown} ${message} (407)`, { ...details, status });
}
