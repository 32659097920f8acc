import { once } from 'node:events';
import { connect, type Socket, type OnReadOpts, isIP } from 'node:net';
import { ADDRCONFIG, lookup } from 'node:dns';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Dispatcher } from 'undici';

import { stopFiltering } from './answer-filter.ts';
import type { DenyNet } from './deny-net.ts';
import { authorizationOf, proxyRefusal, type ProxyAddress } from './proxy.ts';
import { askSocks } from './socks.ts';
import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import type { ConnectTo } from './contract.ts';
import { errnoOf } from '../system/errno.ts';

/** Makes the plain connection to a server, or to what looks like one. */
export type OpenSocket = (signal: AbortSignal) => Promise<Socket>;

/** @param buffers - to read into, unless something else is going to read from the socket. */
export function directly({ host, port }: Target, denyNet?: DenyNet, buffers?: ReadBuffers): OpenSocket {
  async function connectTo(address: string, signal: AbortSignal): Promise<Socket> {
    const socket: Socket = connect({
      host: address,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
      ...(buffers && { onread: buffers.readInto((chunk) => socket.push(chunk)) }),
    });
    try {
      await once(socket, 'connect', { signal });
      return socket;
    } catch (error) {
      drop(socket);
      throw error;
    }
  }
  return async (signal) => {
    denyNet?.check(host);
    const addresses = await addressesOf(host, signal);
    return connectAny(denyNet?.allowed(addresses, host) ?? addresses, connectTo, signal);
  };
}

/** Asks a proxy for a tunnel. Names are resolved by the proxy, so only a literal address can be denied. */
export function throughTunnel(
  { host, port }: Target,
  proxy: ProxyAddress & { kind: 'http' },
  proxies: Dispatcher,
  denyNet?: DenyNet,
): OpenSocket {
  return async (signal) => {
    denyNet?.check(host);
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
export function throughSocks(target: Target, proxy: ProxyAddress & { kind: 'socks5' }, denyNet?: DenyNet): OpenSocket {
  const open = directly(proxy.target);
  return async (signal) => {
    denyNet?.check(target.host);
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

/** What one look at a socket may bring. */
const readBytes = 256 * 1024;
/** How many buffers wait to be used again, at most. */
const spareBuffers = 32;

/** What sockets read into, used again and again: to make memory for each read costs several times the read itself. */
type ReadBuffers = {
  /** How a socket reads; `push` takes what came, as its stream does. */
  readInto(push: (chunk: Buffer) => boolean): OnReadOpts;
  /** Takes back the memory of a chunk that nobody looks at any more; whose is not known is left to the collector. */
  readonly recycle: (chunk: Uint8Array) => void;
};

/**
 * @param copiedBytes - what is not larger is copied, and its buffer kept: a parser may hold on to pieces of a header, so
 * this is to be the most that a header can take.
 */
export function createReadBuffers(copiedBytes: number): ReadBuffers {
  const spare: Buffer[] = [];
  /** Buffers that are with a reader, and how much of each was filled. */
  const lent = new WeakMap<ArrayBufferLike, { readonly buffer: Buffer; readonly filled: number }>();
  const take = () => spare.pop() ?? Buffer.allocUnsafeSlow(readBytes);

  return {
    readInto(push) {
      let buffer = take();
      return {
        buffer: () => buffer,
        callback(bytes) {
          const chunk = buffer.subarray(0, bytes);
          if (bytes <= copiedBytes) return push(Buffer.from(chunk));
          lent.set(buffer.buffer, { buffer, filled: bytes });
          buffer = take();
          return push(chunk);
        },
      };
    },
    recycle(chunk) {
      const of = lent.get(chunk.buffer);
      // only once its last bytes come back: of what lies before the end, a parser may not have seen the rest
      if (!of || chunk.byteOffset + chunk.byteLength !== of.filled) return;
      lent.delete(chunk.buffer);
      if (spare.length < spareBuffers) spare.push(of.buffer);
    },
  };
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
