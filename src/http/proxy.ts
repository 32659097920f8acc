import { ImageError } from '../errors.ts';
import { parseNoProxy } from './no-proxy.ts';
import type { HttpOptions } from './types.ts';

/** A proxy's origin, and the Proxy-Authorization that it gets: never an origin server, never a message. */
export type Proxy = { readonly origin: URL; readonly authorization: string | undefined };

/**
 * @returns which proxy serves a URL, if any.
 * @throws ImageError USAGE for a proxy that is not an http(s) URL or `host:port`.
 */
export function parseProxies({ http, https, noProxy = '' }: HttpOptions['proxy']): (url: URL) => Proxy | undefined {
  const forHttp = parseProxy(http, 'HTTP_PROXY');
  const forHttps = parseProxy(https, 'HTTPS_PROXY');
  const isExempt = parseNoProxy(noProxy);
  return (url) => (isExempt(url) ? undefined : url.protocol === 'https:' ? forHttps : forHttp);
}

function parseProxy(value: string | undefined, name: string): Proxy | undefined {
  if (!value) return undefined;
  const url = URL.parse(value.includes('://') ? value : `http://${value}`);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new ImageError('USAGE', `${name} is not an http or https URL`, { option: name });
  }
  return { origin: new URL(url.origin), authorization: authorizationOf(url, name) };
}

function authorizationOf({ username, password }: URL, name: string): string | undefined {
  if (username === '' && password === '') return undefined;
  try {
    const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
    return `Basic ${Buffer.from(pair).toString('base64')}`;
  } catch (cause) {
    throw new ImageError('USAGE', `${name} has a broken percent-encoding`, { option: name }, { cause });
  }
}
