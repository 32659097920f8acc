import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

import type { Dispatcher } from 'undici';

import { stopFiltering } from './answer-filter.ts';
import { addressesOf, connectAny } from './connect-any.ts';
import type { Target } from './connect-to.ts';
import type { DenyNet } from './deny-net.ts';
import { authorizationOf, proxyRefusal, type Proxy } from './proxy.ts';
import type { ReadBuffers } from './read-buffers.ts';
import { askSocks } from './socks.ts';

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
  proxy: Proxy & { kind: 'http' },
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
export function throughSocks(target: Target, proxy: Proxy & { kind: 'socks5' }, denyNet?: DenyNet): OpenSocket {
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
