import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';

import { buildConnector, errors } from 'undici';

import { filterAnswers } from './answer-filter.ts';
import type { OpenSocket } from './connect.ts';

/** The settings that the connections of all origins share. */
export type Wiring = {
  readonly connectMs: number;
  /** The most bytes that headers may take. */
  readonly headerBytes: number;
  readonly secureContext: () => SecureContext;
  readonly insecureTls: boolean;
  /** Aborts the connections that are still being made. */
  readonly closing: AbortSignal;
  /** Called with every connection before it is used. */
  readonly onSocket: (socket: Socket) => void;
};

/** The proxy that connections go through; `isEnd` if the proxy itself is the server. */
type Via = { readonly proxy: string; readonly isEnd?: boolean };

/** Connects to one origin; resolving the name, connecting, the tunnel and TLS share one time limit. */
export function createConnector(origin: URL, open: OpenSocket, wiring: Wiring, via?: Via): buildConnector.connector {
  const startTls = buildConnector({
    timeout: 0, // one timer covers all stages
    allowH2: false,
    rejectUnauthorized: !wiring.insecureTls,
    ...(origin.protocol === 'https:' && { secureContext: wiring.secureContext() }),
  });
  // the certificate must name the host of the URL, not an address of --connect-to, nor the Host header of a forwarded request
  const { protocol, host, hostname, port } = origin;
  const server = { protocol, host, hostname: hostname.replace(/^\[(.*)\]$/, '$1'), port };

  async function connect(): Promise<Socket> {
    const late = new AbortController();
    const timeout = () => late.abort(new errors.ConnectTimeoutError());
    const timer = setTimeout(() => setImmediate(timeout), wiring.connectMs);
    const signal = AbortSignal.any([late.signal, wiring.closing]);
    let failingProxy = via?.proxy;
    try {
      const raw = await open(signal);
      if (!via?.isEnd) failingProxy = undefined;
      const socket = origin.protocol === 'https:' ? await secure(raw, signal) : raw;
      filterAnswers(socket, wiring.headerBytes);
      wiring.onSocket(socket);
      return socket;
    } catch (error) {
      throw connectFailure(signal.aborted ? signal.reason : error, failingProxy);
    } finally {
      clearTimeout(timer);
    }
  }

  async function secure(raw: Socket, signal: AbortSignal): Promise<Socket> {
    const { promise, resolve, reject } = Promise.withResolvers<Socket>();
    const stop = () => {
      raw.destroy();
      reject(signal.reason as Error); // both signals are aborted with an Error
    };
    signal.addEventListener('abort', stop, { once: true });
    startTls({ ...server, httpSocket: raw }, (error, socket) => (error ? reject(error) : resolve(socket)));
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  return (_, callback) => {
    connect().then(
      (socket) => callback(null, socket),
      (error: Error) => callback(error, null),
    );
  };
}

/** Wraps an error into one without a code, since undici repeats the connection without end after some codes. */
function connectFailure(cause: unknown, proxy: string | undefined): Error {
  return Object.assign(new Error('no connection', { cause }), { name: failureName, proxy });
}

const failureName = 'ConnectFailure';

/** The innermost cause of a failed connection, which may have passed through several connectors, and the proxy that failed, if one did. */
export function connectCause(error: unknown): { readonly cause: unknown; readonly proxy?: string } {
  if (!(error instanceof Error && error.name === failureName)) return { cause: error };
  const inner = connectCause(error.cause);
  return 'proxy' in error && typeof error.proxy === 'string' ? { proxy: error.proxy, ...inner } : inner;
}
