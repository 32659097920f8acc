import { once } from 'node:events';
import { connect, type Socket, type OnReadOpts, isIP } from 'node:net';
import { ADDRCONFIG, lookup } from 'node:dns';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Dispatcher } from 'undici';

import { stopFiltering } from './answer-filter.ts';
import { parseDenyNet } from './deny-net.ts';
import { authorizationOf, parseProxies, proxyRefusal, type ProxyAddress } from './proxy.ts';
import { askSocks } from './socks.ts';
import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import { errnoOf } from '../system/errno.ts';

/** Where connections may go, and through what. */
export type RouteOptions = {
  readonly connectTo: readonly ConnectTo[];
  /** CIDR blocks that no connection may go to, checked on the address after DNS. */
  readonly denyNet: readonly string[];
  /** `all` is for what has none of its own. */
  readonly proxy: { readonly http?: string; readonly https?: string; readonly all?: string; readonly noProxy?: string };
};

export type ConnectTo = {
  readonly host: string;
  readonly port: string;
  readonly toHost: string;
  readonly toPort: string;
};

/** The same, read. */
export type Routes = {
  /**
   * How to connect to the origin of a URL, and the proxy that this goes through.
   *
   * @param proxies - connects to http proxies. @param onread - how a plain connection reads; see `directly`.
   */
  routeTo(
    url: URL,
    proxies: Dispatcher,
    onread?: ReadInto,
  ): { readonly open: OpenSocket; readonly proxy?: ProxyAddress };
  /** The proxy that is asked in the place of the origin, if any is. */
  forwarderOf(url: URL): Extract<ProxyAddress, { kind: 'http' }> | undefined;
  /** @throws INSECURE_REFUSED for the URL of an address that no connection may go to */
  check(url: URL): void;
};

/** @throws USAGE for proxies and CIDR blocks that cannot be read */
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
      if (!via) return { open: directly(target, { addresses, ...(onread && { onread }) }) };
      const open = via.kind === 'http' ? throughTunnel(target, via, proxies) : throughSocks(target, via);
      return { open: afterCheck(() => denied?.check(target.host), open), proxy: via };
    },
    forwarderOf(url) {
      const via = url.protocol === 'http:' ? proxyFor(url) : undefined;
      return via?.kind === 'http' ? via : undefined;
    },
    check: (url) => denied?.check(targetOf(url, []).host),
  };
}

/** Names are resolved by the proxy, so only a literal address can be denied. */
function afterCheck(check: () => void, open: OpenSocket): OpenSocket {
  return async (signal) => {
    check();
    return open(signal);
  };
}

/** Makes the plain connection to a server, or to what looks like one. */
export type OpenSocket = (signal: AbortSignal) => Promise<Socket>;

/** How a socket reads, where nothing else is going to read from it; `push` takes what came, as its stream does. */
export type ReadInto = (push: (chunk: Buffer) => boolean) => OnReadOpts;

/** @param addresses - those of a host that may be connected to. */
export function directly(
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
    try {
      await once(socket, 'connect', { signal });
      return socket;
    } catch (error) {
      drop(socket);
      throw error;
    }
  }
  return async (signal) => connectAny(await addresses(host, signal), connectTo, signal);
}

/** Asks a proxy for a tunnel. */
function throughTunnel(
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
    const tunnel = socket as Socket; // undici hands over the very socket that a connector made
    stopFiltering(tunnel);
    if (statusCode === 200) return tunnel;
    drop(tunnel);
    throw proxyRefusal(proxy, statusCode);
  };
}

/** As throughTunnel, by SOCKS. */
function throughSocks(target: Target, proxy: ProxyAddress & { kind: 'socks5' }): OpenSocket {
  const open = directly(proxy.target);
  return async (signal) => {
    const socket = await open(signal);
    try {
      await askSocks(socket, target, proxy, signal);
      return socket;
    } catch (error) {
      drop(socket);
      throw error;
    }
  };
}

function drop(socket: Socket): void {
  socket.on('error', () => undefined).destroy();
}

const part = String.raw`(\[[^\]]*\]|[^:[\]]*)`;
const form = new RegExp(`^${part}:(\\d*):${part}:(\\d*)$`);

/**
 * Reads `HOST:PORT:ADDRESS:PORT`; an IPv6 address stands in brackets, an empty part means any or unchanged.
 *
 * @throws ImageError USAGE
 * @see curl(1) --connect-to
 */
export function parseConnectTo(text: string): ConnectTo {
  const [, host, port, toHost, toPort] = form.exec(text) ?? [];
  if (host === undefined || port === undefined || toHost === undefined || toPort === undefined) {
    throw new ImageError('USAGE', `not HOST:PORT:ADDRESS:PORT: ${show(text)}`, { option: 'connect-to' });
  }
  return { host: bare(host).toLowerCase(), port, toHost: bare(toHost), toPort };
}

/** A host, without brackets, and a port. */
export type Target = { readonly host: string; readonly port: number };

/** Where to connect for a URL: what the first fitting rule says, or the URL itself. */
export function targetOf(url: URL, rules: readonly ConnectTo[]): Target {
  const host = bare(url.hostname);
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  const rule = rules.find((one) => (one.host === '' || one.host === host) && (one.port === '' || one.port === port));
  return { host: rule?.toHost || host, port: Number(rule?.toPort || port) };
}

function bare(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1');
}

/** How long an address has for itself, before the next one is tried beside it. @see RFC 8305 5 */
const staggerMs = 250;
/** Of a name. */
const maxAddresses = 16;

/** The addresses of a host, IPv6 and IPv4 in turns, beginning with what the system has first. @throws what DNS does */
export async function addressesOf(host: string, signal: AbortSignal): Promise<readonly string[]> {
  if (isIP(host) !== 0) return [host];
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
  const stop = () => reject(signal.reason as Error);
  signal.addEventListener('abort', stop);
  lookup(host, { all: true, hints: ADDRCONFIG }, (error, found) => {
    if (error) reject(error);
    else resolve(inTurns(found.map(({ address }) => address)).slice(0, maxAddresses));
  });
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function inTurns(addresses: readonly string[]): readonly string[] {
  const first = isIP(addresses[0] ?? '');
  const same = addresses.filter((address) => isIP(address) === first);
  const other = addresses.filter((address) => isIP(address) !== first);
  return same.flatMap((address, index) => [address, ...other.slice(index, index + 1)]).concat(other.slice(same.length));
}

/**
 * The first connection that one of several addresses gives. The next one is tried when one fails, or has not answered for a while;
 * none is given up before another is there.
 *
 * @param connect - stops, and leaves nothing behind, once its signal is aborted.
 * @throws what the last address met that could be reached at all
 */
export async function connectAny(
  addresses: readonly string[],
  connect: (address: string, signal: AbortSignal) => Promise<Socket>,
  signal: AbortSignal,
): Promise<Socket> {
  const [only] = addresses;
  if (only !== undefined && addresses.length === 1) return connect(only, signal);
  const over = new AbortController();
  const waiting = AbortSignal.any([signal, over.signal]);
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
    throw error instanceof AggregateError ? mostTelling(error.errors) : error;
  } finally {
    over.abort();
  }
}

function ignore(): void {}

function mostTelling(errors: readonly unknown[]): unknown {
  const isNoWay = (error: unknown) => /^(ENETUNREACH|EADDRNOTAVAIL|EAFNOSUPPORT)$/.test(errnoOf(error) ?? '');
  return errors.findLast((error) => !isNoWay(error)) ?? errors[0];
}
