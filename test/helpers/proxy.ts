import { createServer as createHttpServer, request as httpRequest, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect, type Socket } from 'node:net';

import { makeCertificate } from './certificates.ts';
import { listen, type Teardown } from './server.ts';

export type TestProxy = {
  readonly url: string;
  /** PEM text of the authority behind its certificate; empty for http. */
  readonly ca: string;
  readonly port: number;
  /** `CONNECT host:port` or `GET http://…`, and what authorized it. */
  readonly requests: readonly { readonly line: string; readonly authorization: string | undefined }[];
};

export type ProxyOptions = {
  /** It is itself spoken to over TLS. */
  readonly https?: boolean;
  /** `user:password` that it wants. */
  readonly credentials?: string;
  /** Where it connects instead of where it is asked to. */
  readonly toPort?: number;
  /** Cuts a tunnel after so many bytes from the far side. */
  readonly cutAfter?: number;
};

/** An http proxy on loopback: tunnels, and forwards plain requests. */
export async function startProxy(t: Teardown, options: ProxyOptions = {}): Promise<TestProxy> {
  const requests: { line: string; authorization: string | undefined }[] = [];
  const wanted = options.credentials && `Basic ${Buffer.from(options.credentials).toString('base64')}`;
  const listener: RequestListener = (request, response) => {
    const authorization = request.headers['proxy-authorization'];
    requests.push({ line: `${request.method} ${request.url}`, authorization });
    if (wanted && authorization !== wanted) {
      response.writeHead(407, { 'proxy-authenticate': 'Basic' }).end();
      return;
    }
    const headers = { ...request.headers };
    delete headers['proxy-authorization'];
    const target = new URL(request.url ?? '');
    const onward = httpRequest({
      host: '127.0.0.1',
      port: options.toPort ?? target.port,
      path: target.pathname + target.search,
      headers,
    });
    onward.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.writeHead(502).end());
    onward.end();
  };
  const tls = options.https ? await makeCertificate(['127.0.0.1']) : undefined;
  const server = tls ? createHttpsServer(tls, listener) : createHttpServer(listener);
  server.on('connect', (request, near: Socket) => {
    const authorization = request.headers['proxy-authorization'];
    requests.push({ line: `CONNECT ${request.url}`, authorization });
    if (wanted && authorization !== wanted) {
      near.end('HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n\r\n');
      return;
    }
    const far = connect(options.toPort ?? Number(request.url?.split(':').at(-1)), '127.0.0.1');
    far.on('connect', () => near.write('HTTP/1.1 200 OK\r\n\r\n'));
    near.on('error', () => far.destroy()).on('close', () => far.destroy());
    far.on('error', () => near.destroy()).on('close', () => near.destroy());
    if (options.cutAfter !== undefined) cutAfter(far, options.cutAfter);
    near.pipe(far);
    far.pipe(near);
  });
  const { port } = await listen(t, server);
  return { url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`, ca: tls?.ca ?? '', port, requests };
}

function cutAfter(socket: Socket, bytes: number): void {
  let seen = 0;
  socket.on('data', (chunk: Buffer) => {
    seen += chunk.byteLength;
    if (seen >= bytes) socket.destroy();
  });
}
