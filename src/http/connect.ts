import { ADDRCONFIG, lookup } from 'node:dns';
import { once } from 'node:events';
import { connect, isIP, type OnReadOpts, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Dispatcher } from 'undici';

import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import { debugLog } from '../system/debug.ts';
import { errnoOf } from '../system/errno.ts';
import { stopFiltering } from './answer-filter.ts';
import type { ConnectTo, RouteOptions } from './contract.ts';
import { parseDenyNet } from './deny-net.ts';
import { authorizationOf, parseProxies, type ProxyAddress, proxyRefusal, type Target } from './proxy.ts';
import { askSocks } from './socks.ts';

const debug = debugLog('http');

/** The parsed route options. */
export type Routes = {
  /**
   * How to connect to the origin of a URL, and the proxy that the connection goes through.
   *
   * @param proxies - connects to http proxies.
   * @param onread - how a direct connection reads, where nothing else reads from its socket.
   */
  routeTo(
    url: URL,
    proxies: Dispatcher,
    onread?: ReadInto,
  ): { readonly open: OpenSocket; readonly proxy?: ProxyAddress };
  /** The proxy that forwards the plain http requests for this URL, if there is one. */
  forwarderOf(url: URL): Extract<ProxyAddress, { kind: 'http' }> | undefined;
  /** @throws ImageError INSECURE_REFUSED for a URL with a denied address */
  check(url: URL): void;
};

/** @throws ImageError USAGE for proxies and CIDR blocks that cannot be parsed */
export function parseRoutes({ connectTo, denyNet, proxy }: RouteOptions): Routes {
  const denied = parseDenyNet(denyNet);
  const proxyFor = parseProxies(proxy);
  const addresses: typeof addressesOf = async (host, signal) => {
    const all = await addressesOf(host, signal);
    return denied?.allowed(all, host) ?? all;
  };
  return {
    routeTo(url, proxies, onread) {
      const target = targetOf(url, connectTo);
      const via = proxyFor(url);
      if (!via) return { open: connectDirectly(target, { addresses, ...(onread && { onread }) }) };
      debug(() => `connections to ${show(target.host)} port ${target.port} go through the proxy ${via.shown}`);
      const open = via.kind === 'http' ? connectThroughTunnel(target, via, proxies) : connectThroughSocks(target, via);
      return { open: afterCheck(() => denied?.check(target.host), open), proxy: via };
    },
    forwarderOf(url) {
      const via = url.protocol === 'http:' ? proxyFor(url) : undefined;
      return via?.kind === 'http' ? via : undefined;
    },
    check: (url) => denied?.check(targetOf(url, []).host),
  };
}

/** For a connection through a proxy: the proxy resolves names, so only a literal address can be denied. */
function afterCheck(check: () => void, open: OpenSocket): OpenSocket {
  return async (signal) => {
    check();
    return open(signal);
  };
}

/** Opens a connection without TLS, to the server itself or by way of a proxy. */
export type OpenSocket = (signal: AbortSignal) => Promise<Socket>;

/** The read options of one socket; `push` receives each chunk. */
export type ReadInto = (push: (chunk: Buffer) => boolean) => OnReadOpts;

/**
 * Connects to the target itself.
 *
 * @param addresses - finds the addresses of a host that may be connected to.
 * @param onread - how the socket reads; omitted where TLS or a proxy's handshake reads from it.
 */
export function connectDirectly(
  { host, port }: Target,
  { addresses = addressesOf, onread }: { readonly addresses?: typeof addressesOf; readonly onread?: ReadInto } = {},
): OpenSocket {
  async function connectTo(address: string, signal: AbortSignal): Promise<Socket> {
    const socket: Socket = connect({
      host: address,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
      ...(onread && { onread: onread((chunk) => socket.push(chunk)) }),
    });
    debug(() => `connecting to ${show(host)} port ${port} at ${address}`);
    try {
      await once(socket, 'connect', { signal });
      return socket;
    } catch (error) {
      destroyQuietly(socket);
      throw error;
    }
  }
  return async (signal) => connectAny(await addresses(host, signal), connectTo, signal);
}

/** Connects through a tunnel of an http proxy, which resolves names. */
function connectThroughTunnel(
  { host, port }: Target,
  proxy: ProxyAddress & { kind: 'http' },
  proxies: Dispatcher,
): OpenSocket {
  return async (signal) => {
    const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`;
    const { socket, statusCode } = await proxies.connect({
      origin: proxy.origin,
      path: authority,
      headers: { host: authority, ...authorizationOf(proxy) },
      signal,
    });
    const tunnel = socket as Socket; // undici passes on the socket that the connector made, which is a net.Socket
    stopFiltering(tunnel);
    if (statusCode === 200) return tunnel;
    destroyQuietly(tunnel);
    throw proxyRefusal(proxy, statusCode);
  };
}

/** Connects through a SOCKS5 proxy. The proxy resolves names, so only a literal address can be denied. */
function connectThroughSocks(target: Target, proxy: ProxyAddress & { kind: 'socks5' }): OpenSocket {
  const open = connectDirectly(proxy.target);
  return async (signal) => {
    const socket = await open(signal);
    try {
      await askSocks(socket, target, proxy, signal);
      return socket;
    } catch (error) {
      destroyQuietly(socket);
      throw error;
    }
  };
}

function destroyQuietly(socket: Socket): void {
  socket.on('error', () => undefined).destroy();
}

const hostAndPortPart = String.raw`(\[[^\]]*\]|[^:[\]]*)`;
const connectToForm = new RegExp(`^${hostAndPortPart}:(\\d*):${hostAndPortPart}:(\\d*)$`);

/**
 * Parses `HOST:PORT:ADDRESS:PORT`. An IPv6 address is in brackets. An empty HOST or first PORT matches any; an empty ADDRESS or
 * second PORT leaves that of the URL unchanged.
 *
 * @throws ImageError USAGE
 * @see curl(1) --connect-to
 */
export function parseConnectTo(text: string): ConnectTo {
  const [, host, port, toHost, toPort] = connectToForm.exec(text) ?? [];
  if (host === undefined || port === undefined || toHost === undefined || toPort === undefined) {
    throw new ImageError('USAGE', `not HOST:PORT:ADDRESS:PORT: ${show(text)}`, { option: 'connectTo' });
  }
  return { host: withoutBrackets(host).toLowerCase(), port, toHost: withoutBrackets(toHost), toPort };
}

/** The host and port to connect to for a URL: those of the first rule that matches it, or its own. */
export function targetOf(url: URL, rules: readonly ConnectTo[]): Target {
  const host = withoutBrackets(url.hostname);
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  const rule = rules.find((one) => (one.host === '' || one.host === host) && (one.port === '' || one.port === port));
  return { host: rule?.toHost || host, port: Number(rule?.toPort || port) };
}

function withoutBrackets(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1');
}

/** How long one address is tried before the next one is tried as well. @see RFC 8305 5 */
const staggerMs = 250;
/** The most addresses of one name that are tried. */
const maxAddresses = 16;

/**
 * The addresses of a host, alternating between IPv6 and IPv4, beginning with the first one that the system returns.
 *
 * @throws the error of `dns.lookup`; the signal's reason once that is aborted.
 */
export async function addressesOf(host: string, signal: AbortSignal): Promise<readonly string[]> {
  if (isIP(host) !== 0) return [host];
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
  const stop = () => reject(signal.reason as Error);
  signal.addEventListener('abort', stop);
  lookup(host, { all: true, hints: ADDRCONFIG }, (error, found) => {
    if (error) reject(error);
    else resolve(alternateFamilies(found.map(({ address }) => address)).slice(0, maxAddresses));
  });
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function alternateFamilies(addresses: readonly string[]): readonly string[] {
  const first = isIP(addresses[0] ?? '');
  const same = addresses.filter((address) => isIP(address) === first);
  const rest = addresses.filter((address) => isIP(address) !== first);
  return same.flatMap((address, index) => [address, ...rest.slice(index, index + 1)]).concat(rest.slice(same.length));
}

/**
 * Connects to several addresses, one after the other, and returns the first connection. The next address is tried when one fails
 * or has not answered within 250 ms; earlier tries go on until one of them succeeds.
 *
 * @param connect - stops and closes its socket once its signal is aborted.
 * @throws the last error that is not about a missing route to the address, if there is one; else the first error.
 */
export async function connectAny(
  addresses: readonly string[],
  connect: (address: string, signal: AbortSignal) => Promise<Socket>,
  signal: AbortSignal,
): Promise<Socket> {
  const [only] = addresses;
  if (only !== undefined && addresses.length === 1) return connect(only, signal);
  const connected = new AbortController();
  const waiting = AbortSignal.any([signal, connected.signal]);
  const tries: Promise<Socket>[] = [];
  let first: Socket | undefined;
  try {
    for (const address of addresses) {
      const attempt = connect(address, waiting).then((socket) => {
        if (first) socket.destroy();
        return (first ??= socket);
      });
      tries.push(attempt);
      const settled = [attempt, Promise.any(tries)].map((some) => some.then(ignore, ignore));
      await Promise.race([...settled, sleep(staggerMs, undefined, { signal: waiting })]);
      if (first) break;
    }
    return await Promise.any(tries);
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof AggregateError ? mostInformative(error.errors) : error;
  } finally {
    connected.abort();
  }
}

function ignore(): void {}

function mostInformative(errors: readonly unknown[]): unknown {
  const isNoWay = (error: unknown) => /^(ENETUNREACH|EADDRNOTAVAIL|EAFNOSUPPORT)$/.test(errnoOf(error) ?? '');
  return errors.findLast((error) => !isNoWay(error)) ?? errors[0];
}
