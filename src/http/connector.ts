import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';

import { buildConnector, errors } from 'undici';

import { filterAnswers } from './answer-filter.ts';
import type { OpenSocket } from './connect.ts';

/** What the connections of all origins have in common. */
export type Wiring = {
  readonly connectMs: number;
  /** The most that headers may take. */
  readonly headerBytes: number;
  readonly secureContext: () => SecureContext;
  readonly insecureTls: boolean;
  /** Ends what is still being connected. */
  readonly closing: AbortSignal;
  /** Told of every connection before it is used. */
  readonly onSocket: (socket: Socket) => void;
};

/** The proxy that connections go through; `isEnd` if they are to the proxy itself. */
type Via = { readonly proxy: string; readonly isEnd?: boolean };

/** Connects for one origin: name, address, tunnel and TLS within one time limit. */
export function createConnector(origin: URL, open: OpenSocket, wiring: Wiring, via?: Via): buildConnector.connector {
  const startTls = buildConnector({
    timeout: 0, // one timer covers all stages
    allowH2: false,
    rejectUnauthorized: !wiring.insecureTls,
    ...(origin.protocol === 'https:' && { secureContext: wiring.secureContext() }),
  });
  // the name in the certificate is the URL's: neither an address of --connect-to nor a Host header on its way to a proxy
  const { protocol, host, hostname, port } = origin;
  const server = { protocol, host, hostname: hostname.replace(/^\[(.*)\]$/, '$1'), port };

  async function connect(): Promise<Socket> {
    const late = new AbortController();
    const timeout = () => late.abort(new errors.ConnectTimeoutError());
    const timer = setTimeout(() => setImmediate(timeout), wiring.connectMs);
    const signal = AbortSignal.any([late.signal, wiring.closing]);
    let failing = via?.proxy;
    try {
      const raw = await open(signal);
      if (!via?.isEnd) failing = undefined;
      const socket = origin.protocol === 'https:' ? await secure(raw, signal) : raw;
      filterAnswers(socket, wiring.headerBytes);
      wiring.onSocket(socket);
      return socket;
    } catch (error) {
      throw connectFailure(signal.aborted ? signal.reason : error, failing);
    } finally {
      clearTimeout(timer);
    }
  }

  async function secure(raw: Socket, signal: AbortSignal): Promise<Socket> {
    const { promise, resolve, reject } = Promise.withResolvers<Socket>();
    const stop = () => {
      raw.destroy();
      reject(signal.reason as Error); // both reasons are errors of ours
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

/** An error without a code, since undici tries to connect for ever after some codes. */
function connectFailure(cause: unknown, proxy: string | undefined): Error {
  return Object.assign(new Error('no connection', { cause }), { name: failureName, proxy });
}

const failureName = 'ConnectFailure';

/** What made connecting fail, however many connectors it passed through, and the proxy that it was about, if it was one. */
export function connectCause(error: unknown): { readonly cause: unknown; readonly proxy?: string } {
  if (!(error instanceof Error && error.name === failureName)) return { cause: error };
  const inner = connectCause(error.cause);
  return 'proxy' in error && typeof error.proxy === 'string' ? { proxy: error.proxy, ...inner } : inner;
}
