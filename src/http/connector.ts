import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';

import { buildConnector, errors } from 'undici';

import { errnoOf } from '../system/errno.ts';
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
      readBeforeFailing(socket);
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

/**
 * A server that refuses a request answers and closes while the body is still being sent. A write fails then before the answer was read,
 * and would end the connection with it: such a failure waits until everything that has arrived was read.
 */
function readBeforeFailing(socket: Socket): void {
  type Done = (error?: Error | null) => void;
  let failed: (() => void) | undefined;
  const push = socket.push.bind(socket);
  const write = socket._write.bind(socket);
  const writeMany = socket._writev?.bind(socket);
  const holding = (done: Done): Done => {
    return (error) => {
      const isClosed = error && /^(ECONNRESET|EPIPE)$/.test(errnoOf(error) ?? '');
      if (isClosed && !socket.readableEnded) failed ??= () => done(error);
      else done(error);
    };
  };
  socket._write = (chunk, encoding, done) => write(chunk, encoding, holding(done));
  if (writeMany) socket._writev = (chunks, done) => writeMany(chunks, holding(done));
  socket.push = (chunk: Buffer | null) => {
    if (chunk || !failed) return push(chunk);
    failed(); // in place of the end: it was a reset, which must not look like the end of a body without a length
    return false;
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
