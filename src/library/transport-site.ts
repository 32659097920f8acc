import { once } from 'node:events';
import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

/** Answers with what came. */
export const echo: RequestListener = (request, response) => {
  const { method, url: path, headers } = request;
  const answer = (content: string) => response.end(JSON.stringify({ ...headers, method, path, content }));
  text(request).then(answer, () => response.destroy());
};

/** A server that never answers. */
export function silent() {
  const [arrived, closed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const listener: RequestListener = (_, response) => {
    response.once('close', () => closed.resolve());
    arrived.resolve();
  };
  return { listener, arrived: arrived.promise, closed: closed.promise };
}

export const unreadBytes = 64 * 1024 * 1024; // by far more than the buffers of two sockets hold

/** A server whose body has so many bytes. */
export function pouring(bytes: number) {
  const closed = Promise.withResolvers<void>();
  const chunk = Buffer.alloc(64 * 1024);
  let sent = 0;
  const pour = async (response: ServerResponse): Promise<void> => {
    for (; sent < bytes && !response.destroyed; sent += chunk.length) {
      if (!response.write(chunk)) await once(response, 'drain');
    }
    response.end();
  };
  const listener: RequestListener = (_, response) => {
    response.once('close', () => closed.resolve());
    pour(response).catch(() => undefined); // the client has gone
  };
  return { listener, closed: closed.promise, sent: () => sent };
}

export type Site = AsyncDisposable & {
  readonly serve: (listener: RequestListener) => string;
  readonly nowhere: string;
};

/** A server with a URL for each listener, and a port at which nobody listens. */
export async function openSite(): Promise<Site> {
  const listeners = new Map<string, RequestListener>();
  const server = createServer((request, response) => {
    const path = request.url?.replace(/\?.*$/s, '') ?? '';
    listeners.get(path)?.(request, response);
  });
  const unused = createServer();
  const [port, nowhere] = [await listen(server), await listen(unused)];
  await new Promise((resolve) => unused.close(resolve));
  return {
    serve(listener) {
      const path = `/${listeners.size}`;
      listeners.set(path, listener);
      return `http://127.0.0.1:${port}${path}`;
    },
    nowhere: `http://127.0.0.1:${nowhere}/`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function listen(server: ReturnType<typeof createServer>): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port; // a TCP server has an AddressInfo
}
