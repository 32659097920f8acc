import { BlockList, isIP } from 'node:net';
import { domainToASCII } from 'node:url';

import { ImageError } from '../errors.ts';
import type { RouteOptions } from './contract.ts';
import { addBlock, isListed } from './deny-net.ts';

/** The credentials for a proxy. They are never sent to an origin server and never shown in a message. */
type ProxyUser = { readonly name: string; readonly password: string };

/** `host` is without brackets. */
export type Target = { readonly host: string; readonly port: number };

/** A proxy; `shown` is its URL without user and password, for messages. */
export type ProxyAddress = { readonly shown: string; readonly user: ProxyUser | undefined } & (
  | { readonly kind: 'http'; readonly origin: URL }
  | { readonly kind: 'socks5'; readonly target: Target }
);

/**
 * @returns a function that returns the proxy for a URL, or undefined if the URL has none.
 * @throws ImageError USAGE for a proxy that is not an http, https or socks5 URL or `host:port`.
 */
export function parseProxies({
  http,
  https,
  all,
  noProxy = '',
}: RouteOptions['proxy']): (url: URL) => ProxyAddress | undefined {
  const [forHttp, forHttps] = [
    http ? parseProxy(http, 'HTTP_PROXY') : parseProxy(all, 'ALL_PROXY'),
    https ? parseProxy(https, 'HTTPS_PROXY') : parseProxy(all, 'ALL_PROXY'),
  ];
  const isExempt = parseNoProxy(noProxy);
  return (url) => (isExempt(url) ? undefined : url.protocol === 'https:' ? forHttps : forHttp);
}

function parseProxy(value: string | undefined, name: string): ProxyAddress | undefined {
  if (!value) return undefined;
  const url = URL.parse(value.includes('://') ? value : `http://${value}`);
  const isSocks = url !== null && /^socks(5h?)?:$/.test(url.protocol); // with all of these the proxy resolves names
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

/** The Proxy-Authorization header for a proxy; empty if it has no user. */
export function authorizationOf({ user }: ProxyAddress): Readonly<Record<string, string>> {
  if (!user) return {};
  return { 'proxy-authorization': `Basic ${Buffer.from(`${user.name}:${user.password}`).toString('base64')}` };
}

/** The error for a proxy that refuses. A 407 is final, since every try would get it; other statuses are worth another try. */
export function proxyRefusal({ shown, user }: ProxyAddress, status: number): ImageError {
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

type Rule = (host: string, port: string) => boolean;

/**
 * Parses NO_PROXY, a list of entries separated by commas or white space:
 * - `*` matches every host;
 * - a name matches itself and its subdomains;
 * - `.name` or `*.name` matches the subdomains only;
 * - an address or a CIDR block matches URLs with an address as host.
 *
 * Names and addresses may end in `:port`. Go programs read it the same way, except that no host is exempt by default here, not even
 * loopback.
 *
 * @returns a function that returns whether a URL is exempt from the proxy.
 */
export function parseNoProxy(text: string): (url: URL) => boolean {
  const entries = text.toLowerCase().split(/[\s,]+/);
  const rules = entries.filter((entry) => entry !== '').map(parseEntry);
  return (url) => {
    const host = url.hostname.replace(/^\[|\]$|\.$/g, '');
    const port = url.port || (url.protocol === 'https:' ? '443' : '80');
    return rules.some((rule) => rule(host, port));
  };
}

function parseEntry(entry: string): Rule {
  if (entry === '*') return () => true;
  const blocks = new BlockList();
  if (addBlock(blocks, entry)) return (host) => isListed(blocks, host);
  const [, name = entry, port] = /^(\[[^\]]*\]|[^:]*):(\d+)$/.exec(entry) ?? [];
  const matches = hostRule(toAscii(name.replace(/^\[|\]$/g, '').replace(/^\*(?=\.)|\.$/g, '')));
  return (host, hostPort) => (port === undefined || port === hostPort) && matches(host);
}

/** A host name as URLs write it: in ASCII. */
function toAscii(text: string): string {
  return /[^\0-\x7f]/.test(text) ? domainToASCII(text) || text : text;
}

function hostRule(pattern: string): (host: string) => boolean {
  if (isIP(pattern) !== 0) {
    const blocks = new BlockList();
    addBlock(blocks, pattern);
    return (host) => isListed(blocks, host);
  }
  if (pattern.startsWith('.')) return (host) => host.endsWith(pattern);
  return (host) => host === pattern || host.endsWith(`.${pattern}`);
}
