import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

/** A file by its path, such as `/demo.example/app/web-1.0.aci`. */
export type Files = ReadonlyMap<string, Uint8Array>;

export type Origin = AsyncDisposable & {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
};

/** Serves files on loopback with entity tags and ranges; every path answers a discovery request with the same page. */
export async function startOrigin(files: Files, discoveryPage: (origin: string) => string): Promise<Origin> {
  let url = '';
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', url);
    const body = searchParams.has('ac-discovery') ? Buffer.from(discoveryPage(url)) : files.get(pathname);
    if (body) answer(request, response, body);
    else response.writeHead(404).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port');
  url = `http://127.0.0.1:${address.port}`;
  return {
    url,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function answer({ headers }: IncomingMessage, response: ServerResponse, body: Uint8Array): void {
  const etag = `"${createHash('sha256').update(body).digest('hex')}"`;
  response.setHeader('etag', etag);
  if (headers['if-none-match'] === etag) {
    response.writeHead(304).end();
    return;
  }
  const from =
    headers['if-range'] === undefined || headers['if-range'] === etag
      ? rangeStart(headers.range, body.length)
      : undefined;
  if (from === undefined) {
    response.writeHead(200, { 'content-length': body.length }).end(body);
    return;
  }
  const rest = body.subarray(from);
  const range = `bytes ${from}-${body.length - 1}/${body.length}`;
  response.writeHead(206, { 'content-length': rest.length, 'content-range': range }).end(rest);
}

/** The N of `bytes=N-`, the one form that a resuming download sends. */
function rangeStart(range: string | undefined, length: number): number | undefined {
  const start = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? NaN);
  return start < length ? start : undefined;
}
