import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

import type { Dispatcher } from 'undici';

import { ImageError } from '../errors.ts';
import { showUrl } from '../image/show-url.ts';
import { stopFiltering } from './answer-filter.ts';
import type { Target } from './connect-to.ts';
import type { DenyNet } from './deny-net.ts';
import type { Proxy } from './proxy.ts';
import type { ReadBuffers } from './read-buffers.ts';

/** Makes the plain connection to a server, or to what looks like one. */
export type OpenSocket = (signal: AbortSignal) => Promise<Socket>;

/** @param buffers - to read into, unless something else is going to read from the socket. */
export function directly(target: Target, denyNet?: DenyNet, buffers?: ReadBuffers): OpenSocket {
  return async (signal) => {
    denyNet?.check(target.host);
    const socket: Socket = connect({
      ...target,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
      ...(denyNet && { lookup: denyNet.lookup }),
      ...(buffers && { onread: buffers.readInto((chunk) => socket.push(chunk)) }),
    });
    try {
      await once(socket, 'connect', { signal });
      return socket;
    } catch (error) {
      drop(socket);
      throw error;
    }
  };
}

/** Asks a proxy for a tunnel. Names are resolved by the proxy, so only a literal address can be denied. */
export function throughTunnel(
  { host, port }: Target,
  { origin, authorization }: Proxy,
  proxies: Dispatcher,
  denyNet?: DenyNet,
): OpenSocket {
  return async (signal) => {
    denyNet?.check(host);
    const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`;
    const { socket, statusCode } = await proxies.connect({
      origin,
      path: authority,
      headers: { host: authority, ...(authorization && { 'proxy-authorization': authorization }) },
      signal,
    });
    const tunnel = socket as Socket; // undici hands over the very socket that a connector made
    stopFiltering(tunnel);
    if (statusCode === 200) return tunnel;
    drop(tunnel);
    throw proxyRefusal(origin, statusCode);
  };
}

/** A proxy that wants another password will want it every time; other refusals may pass. */
export function proxyRefusal({ href }: URL, status: number): ImageError {
  const url = showUrl(href);
  if (status !== 407)
    return new ImageError('NETWORK', `the proxy answered ${status}`, { url, reason: `proxy ${status}` });
  return new ImageError('HTTP_STATUS', 'the proxy wants a user and a password (407)', { url, status });
}

function drop(socket: Socket): void {
  socket.on('error', () => undefined).destroy();
}
