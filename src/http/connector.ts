import type { Socket } from 'node:net';
import { checkServerIdentity, type SecureContext } from 'node:tls';

import { buildConnector, errors } from 'undici';

import type { OpenSocket } from './open-socket.ts';

/** What the connections of all origins have in common. */
export type Wiring = {
  readonly connectMs: number;
  readonly secureContext: () => SecureContext;
  readonly insecureTls: boolean;
  /** Ends what is still being connected. */
  readonly closing: AbortSignal;
  /** Told of every connection before it is used. */
  readonly onSocket: (socket: Socket) => void;
};

/** Connects for one origin: name, address, tunnel and TLS within one time limit. */
export function createConnector(origin: URL, open: OpenSocket, wiring: Wiring): buildConnector.connector {
  const startTls = buildConnector({
    timeout: 0, // one timer covers all stages
    allowH2: false,
    rejectUnauthorized: !wiring.insecureTls,
    // --connect-to changes the address, never the name that the certificate has to bear
    checkServerIdentity: (_, certificate) => checkServerIdentity(bareHost(origin), certificate),
    ...(origin.protocol === 'https:' && { secureContext: wiring.secureContext() }),
  });

  async function connect(request: buildConnector.Options): Promise<Socket> {
    const late = new AbortController();
    const timeout = () => late.abort(new errors.ConnectTimeoutError());
    const timer = setTimeout(() => setImmediate(timeout), wiring.connectMs);
    const signal = AbortSignal.any([late.signal, wiring.closing]);
    try {
      const raw = await open(signal);
      const socket = origin.protocol === 'https:' ? await secure(request, raw, signal) : raw;
      wiring.onSocket(socket);
      return socket;
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  async function secure(request: buildConnector.Options, raw: Socket, signal: AbortSignal): Promise<Socket> {
    const { promise, resolve, reject } = Promise.withResolvers<Socket>();
    const stop = () => {
      raw.destroy();
      reject(signal.reason as Error); // both reasons are errors of ours
    };
    signal.addEventListener('abort', stop, { once: true });
    startTls({ ...request, httpSocket: raw }, (error, socket) => (error ? reject(error) : resolve(socket)));
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  return (request, callback) => {
    connect(request).then(
      (socket) => callback(null, socket),
      (error: unknown) => callback(connectFailure(error), null),
    );
  };
}

/** An error without a code, since undici tries to connect for ever after some codes. */
function connectFailure(cause: unknown): Error {
  return Object.assign(new Error('no connection', { cause }), { name: failureName });
}

const failureName = 'ConnectFailure';

/** What made connecting fail, however many connectors it passed through. */
export function connectCause(error: unknown): unknown {
  return error instanceof Error && error.name === failureName ? connectCause(error.cause) : error;
}

function bareHost({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, '$1');
}
