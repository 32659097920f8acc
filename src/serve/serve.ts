import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';

import findMyWay from 'find-my-way';

import { asImageError, hasCode, ImageError, isImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import type { Store } from '../store/store.ts';
import { debugLog } from '../system/debug.ts';
import { errnoOf } from '../system/errno.ts';
import { spareFiles } from '../system/spare-files.ts';
import { type ComparePassword, createAuthenticate, hostOf, refuseForeignHost, type Users } from './access.ts';
import { type Answer, type Asked, refusal } from './answer.ts';
import { createBlobs, type HashFile } from './blobs.ts';
import type { CurrentStore } from './current-store.ts';
import { createDocuments } from './documents.ts';
import { createServeMetrics, type ServeMetrics } from './metrics.ts';
import { answerArchive, answerDiscovery } from './origin.ts';
import { answerBase, answerCatalog, answerRegistry, type RegistryContext } from './registry.ts';
import { createBuffers, send } from './send.ts';

const debug = debugLog('serve');

export type ListenAddress = { readonly host: string; readonly port: number };

export type ServeOptions = {
  readonly store: CurrentStore;
  readonly listen: ListenAddress;
  /** PEM texts. Without them it is plain http. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
  /** Who may ask; everybody if absent. */
  readonly users?: Users | undefined;
  /** Names that requests may have as Host, besides loopback and the addresses of this machine that they come to. */
  readonly hosts: readonly string[];
  readonly catalog: boolean;
  readonly version: string;
  /** A client that takes nothing for so long is cut. Default two minutes. */
  readonly stalledMs?: number;
  readonly hashFile: HashFile;
  readonly comparePassword: ComparePassword;
  /** Called for failures that are not the client's, each message once. */
  readonly onWarning: (message: string) => void;
};

export type RunningServer = {
  /** `http://127.0.0.1:5000` */
  readonly url: string;
  /**
   * Takes no connections any more, and ends what is under way.
   *
   * @param graceMs - what takes longer is cut.
   * @returns whether everything came to its end.
   */
  close(graceMs: number): Promise<boolean>;
};

/** The time that a client has for its request, and between two of them. */
const requestMs = 15_000;
const idleMs = 75_000;
const stalledAfterMs = 120_000;
/** The most bytes of the head of a request, and of the path in it. */
const headBytes = 16 * 1024;
const urlLength = 4_096;
/** A client that asks for more before it has its answers is cut: they would wait in memory. */
const maxPending = 16;
/** The most connections. Each may need two files, and some are left for the store. */
const maxConnections = 10_000;
const fewConnections = 300;
const ownFiles = 200;

type Handler = (asked: Asked) => Promise<Answer>;

/**
 * Serves a store over HTTP, as a registry that only reads, and as an origin of the archives that it has kept.
 *
 * @throws USAGE when the address cannot be listened at, or the certificate and the key are none
 */
export async function startServer(options: ServeOptions): Promise<RunningServer> {
  const { listen, tls, users, hosts, stalledMs = stalledAfterMs } = options;
  const settings = {
    ...{ maxHeaderSize: headBytes, headersTimeout: requestMs, requestTimeout: requestMs },
    ...{ keepAliveTimeout: idleMs, connectionsCheckingInterval: requestMs / 3 },
  };
  const server = tls ? createSecure(tls, settings, options.onWarning) : createServer(settings);
  server.timeout = stalledMs;
  server.maxConnections = Math.max(16, Math.min(maxConnections, Math.floor((spareFiles() - ownFiles) / 2)));
  if (server.maxConnections < fewConnections)
    options.onWarning(`at most ${server.maxConnections} connections are taken: each may need two files, see ulimit -n`);
  const metrics = createServeMetrics(server, options.version);
  const names = new Set([listen.host.toLowerCase(), ...hosts.flatMap((name) => hostOf(name) ?? [])]);
  const authenticate = users && createAuthenticate(users, options.comparePassword, Date.now);
  const scheme = tls ? 'https' : 'http';
  const route = createRoutes(options, metrics);
  const respond = createResponder({ ...options, scheme, names, authenticate, route });

  const buffers = createBuffers();
  /** Requests without an answer, by connection. */
  const pending = new Map<Socket, number>();
  const sockets = new Set<Socket>();
  let isEnding = false;
  let active = 0;
  const idle = Promise.withResolvers<void>();

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const beganMs = performance.now();
    const { socket } = request;
    const before = pending.get(socket) ?? 0;
    if (!socket.destroyed) pending.set(socket, before + 1);
    if (before >= maxPending) return void socket.destroy();
    active += 1;
    const controller = new AbortController();
    response.once('close', () => controller.abort(new Error('the client has gone')));
    response.on('error', () => undefined); // the client has gone: it is closed, too
    try {
      if (!response.socket) await once(response, 'socket', { signal: controller.signal }); // the one before it comes first
      const answer = await respond(request, controller.signal);
      // a body that nobody reads would have to be read to its end
      if (isEnding || hasBody(request)) response.shouldKeepAlive = false;
      for (const [name, value] of safeHeaders) response.setHeader(name, value);
      const isHead = request.method === 'HEAD';
      const sent = await send(response, answer, { isHead, buffers });
      const { kind, status } = answer;
      metrics.count({ kind, status, ...sent, durationMs: performance.now() - beganMs });
      const cut = sent.isWhole ? '' : ', cut';
      debug(() => `${request.method} ${showPath(request)}: ${status}, ${sent.bytes} bytes${cut}`);
    } catch (error) {
      if (!controller.signal.aborted) options.onWarning(asImageError(error).message);
      response.destroy();
    } finally {
      active -= 1;
      const left = (pending.get(socket) ?? 1) - 1;
      if (!socket.destroyed) pending.set(socket, left);
      if (isEnding && left === 0) socket.destroySoon();
      if (isEnding && active === 0) idle.resolve();
    }
  };
  server.on('request', (request, response) => void handle(request, response));
  server.on('drop', () => metrics.dropped());
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on(tls ? 'secureConnection' : 'connection', (socket: Socket) => {
    pending.set(socket, 0);
    socket.once('close', () => pending.delete(socket));
  });
  await listenAt(server, listen);
  const { port } = server.address() as AddressInfo; // of a TCP server
  const shownHost = listen.host.includes(':') ? `[${listen.host}]` : listen.host;
  return {
    url: `${scheme}://${shownHost}:${port}`,
    async close(graceMs) {
      isEnding = true;
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const [socket, requests] of pending) if (requests === 0) socket.destroy();
      if (active === 0) idle.resolve();
      const grace = setTimeout(() => idle.resolve(), graceMs);
      await idle.promise;
      clearTimeout(grace);
      const isWhole = active === 0;
      const cut = setTimeout(() => sockets.forEach((socket) => socket.destroy()), isWhole ? lastMs : 0);
      await closed;
      clearTimeout(cut);
      return isWhole;
    },
  };
}

/** The last bytes may take so long to leave the system; what is still open then is cut. */
const lastMs = 500;

/** What is served may be anything: no browser shall take it for a page of ours, or show it to one of another server. */
const safeHeaders = Object.entries({
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
  'content-security-policy': "default-src 'none'; sandbox",
});

/** Without the query, which may hold anything. */
function showPath({ url = '' }: IncomingMessage): string {
  return show(url.replace(/\?.*$/s, ''), 300);
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
}

function createSecure(
  tls: NonNullable<ServeOptions['tls']>,
  settings: object,
  onWarning: ServeOptions['onWarning'],
): Server {
  try {
    const server = createSecureServer({ ...settings, ...tls, minVersion: 'TLSv1.2', handshakeTimeout: requestMs });
    const { validToDate: end } = new X509Certificate(tls.cert);
    if (end.getTime() < Date.now())
      onWarning(`the certificate has expired, on ${end.toISOString().slice(0, 10)}: clients refuse it`);
    return server;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ImageError(
      'USAGE',
      `the certificate and the key do not serve TLS: ${show(why)}`,
      { option: '--cert' },
      { cause: error },
    );
  }
}

async function listenAt(server: Server, { host, port }: ListenAddress): Promise<void> {
  try {
    server.listen({ host, port });
    await once(server, 'listening');
  } catch (error) {
    const errno = errnoOf(error) ?? 'unknown';
    const message = `${show(host)}:${port}: ${problems.get(errno) ?? 'it cannot be listened at'} (${errno})`;
    throw new ImageError('USAGE', message, { option: '--listen' }, { cause: error });
  }
  server.on('error', () => undefined); // of single connections, which Node has closed
}

const problems: ReadonlyMap<string, string> = new Map([
  ['EADDRINUSE', 'another program listens there'],
  ['EADDRNOTAVAIL', 'this machine has no such address'],
  ['EACCES', 'this user may not listen at that port'],
  ['ENOTFOUND', 'no such host'],
]);

type Responder = {
  readonly scheme: 'http' | 'https';
  readonly names: ReadonlySet<string>;
  readonly authenticate: ReturnType<typeof createAuthenticate> | undefined;
  readonly route: (
    path: string,
  ) => { readonly handler: Handler; readonly rest: string; readonly isOpen: boolean } | undefined;
  readonly onWarning: (message: string) => void;
};

/** Decides what a request is answered with. */
function createResponder({ scheme, names, authenticate, route, onWarning }: Responder) {
  return async (request: IncomingMessage, signal: AbortSignal): Promise<Answer> => {
    const { method, url = '', headers, socket } = request;
    const { host: hosts = [] } = request.headersDistinct;
    const foreign = refuseForeignHost(hosts, socket, names);
    if (foreign) return foreign;
    if (method !== 'GET' && method !== 'HEAD')
      return refusal(405, 'UNSUPPORTED', 'this store is served for reading only', { allow: 'GET, HEAD' });
    if (url.length > urlLength)
      return refusal(414, 'UNSUPPORTED', `a path of at most ${urlLength} characters is taken`);
    const target = URL.parse(`http://localhost${url.startsWith('/') ? url : '/'}`);
    const [path = ''] = url.split('?');
    const origin = `${scheme}://${headers.host ?? ''}`; // a name of ours, by now
    const found = url.startsWith('/') ? route(path) : undefined;
    if (!found?.isOpen) {
      const denied = await authenticate?.(headers.authorization, socket.remoteAddress ?? '');
      if (denied) return denied;
    }
    if (!found || !target) return refusal(404, 'UNSUPPORTED', 'there is nothing at this path');
    try {
      return await found.handler({ path: found.rest, query: target.searchParams, headers, origin, signal });
    } catch (error) {
      if (signal.aborted) throw error;
      const failure = asImageError(error);
      onWarning(`${showPath(request)}: ${failure.code}: ${failure.message}`);
      return isImageError(error) && !hasCode(error, 'INTERNAL')
        ? refusal(503, 'UNAVAILABLE', 'the store cannot be read now', { 'retry-after': '5' })
        : refusal(500, 'UNAVAILABLE', 'the server has failed');
    }
  };
}

/** The router takes functions of its own; ours are kept beside them. */
type Kept = { readonly handler: Handler; readonly isOpen: boolean };

function createRoutes({ store, catalog, hashFile }: ServeOptions, metrics: ServeMetrics): Responder['route'] {
  const context: RegistryContext = { documents: createDocuments(), blobs: createBlobs(hashFile), catalog };
  const using =
    (answer: (context: RegistryContext, store: Store, asked: Asked) => Promise<Answer>): Handler =>
    (asked) =>
      store.use((current) => answer(context, current, asked));
  const router = findMyWay();
  const on = (path: string, handler: Handler, isOpen = false): void =>
    router.on('GET', path, () => undefined, { handler, isOpen } satisfies Kept);
  on('/v2', () => Promise.resolve(answerBase()));
  on('/v2/', () => Promise.resolve(answerBase()));
  on('/v2/_catalog', using(answerCatalog));
  on('/v2/*', using(answerRegistry));
  on('/aci/*', (asked) => store.use((current) => answerArchive(context.blobs, current, asked)));
  on('/*', (asked) => store.use((current) => answerDiscovery(current, asked)));
  on('/healthz', () => Promise.resolve({ kind: 'health', status: 200, headers: plain, body: 'ok\n' }), true);
  on('/metrics', () => metrics.answer());
  return (path) => {
    const found = router.find('GET', path);
    const kept = found?.store as Kept | undefined; // as `on` has given it
    return kept && { ...kept, rest: found?.params['*'] ?? '' };
  };
}

const plain = { 'content-type': 'text/plain; charset=utf-8' };
