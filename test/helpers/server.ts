import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingHttpHeaders, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Server, Socket } from 'node:net';

import { makeCertificate } from './certificates.ts';
import { type Route, serveRoute } from './serve-route.ts';

/** What a server needs of a test: AVA's context, or anything that runs `done` in the end. */
export type Teardown = { teardown(done: () => void | Promise<void>): void };

export type LoggedRequest = { readonly method: string; readonly url: string; readonly headers: IncomingHttpHeaders };

export type ServerOptions = {
  /** Serve https with a certificate for `names`. */
  readonly https?: boolean;
  /** Host names and addresses of the certificate; default localhost, 127.0.0.1, example.com and *.example.com. */
  readonly names?: readonly string[];
  readonly expired?: boolean;
};

export type TestServer = {
  /** `http://127.0.0.1:PORT` or `https://127.0.0.1:PORT`. */
  readonly url: string;
  readonly port: number;
  /** PEM text of the authority behind the certificate; empty for http. */
  readonly ca: string;
  readonly requests: readonly LoggedRequest[];
  /** May be changed while the server runs. */
  readonly routes: Record<string, Route>;
  /** Cuts every connection. */
  cut(): void;
  close(): Promise<void>;
};

/**
 * A web server on a loopback port of its own. Keys of `routes` are `GET /path` or `/path`, with or without the query;
 * what has no route is 404. Everything is closed when the test ends.
 */
export async function startServer(
  t: Teardown,
  routes: Record<string, Route>,
  options: ServerOptions = {},
): Promise<TestServer> {
  const requests: LoggedRequest[] = [];
  const listener: RequestListener = (request, response) => {
    const { method = '', url = '', headers } = request;
    requests.push({ method, url, headers });
    const path = url.replace(/\?.*$/s, '');
    const route = routes[`${method} ${url}`] ?? routes[`${method} ${path}`] ?? routes[url] ?? routes[path];
    void serveRoute(route ?? { status: 404 }, request, response);
  };
  const tls = options.https ? await makeCertificate(options.names ?? defaultNames, options.expired) : undefined;
  const server = tls ? createHttpsServer({ cert: tls.cert, key: tls.key }, listener) : createHttpServer(listener);
  const { port, cut, close } = await listen(t, server);
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    port,
    ca: tls?.ca ?? '',
    requests,
    routes,
    cut,
    close,
  };
}

const defaultNames = ['localhost', '127.0.0.1', 'example.com', '*.example.com'];

/** Listens on a free loopback port, and destroys the server with all its sockets when the test ends. */
export async function listen(
  t: Teardown,
  server: Server,
): Promise<{ port: number; cut: () => void; close: () => Promise<void> }> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => sockets.forEach((socket) => socket.destroy());
  const close = async () => {
    cut();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  t.teardown(close);
  return { port: (server.address() as AddressInfo).port, cut, close }; // a TCP server has an AddressInfo
}
