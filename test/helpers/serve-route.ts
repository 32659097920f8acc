import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';

/** What a server answers at one path, and how well. */
export type Route = {
  /** Default 200. */
  readonly status?: number;
  readonly body?: Uint8Array | string;
  readonly headers?: Readonly<Record<string, string>>;
  /** With the quotes: `"1"`. */
  readonly etag?: string;
  readonly lastModified?: string;
  /** Default true: Range and If-Range are honoured. */
  readonly ranges?: boolean;
  /** Before the headers. */
  readonly delayMs?: number;
  /** Bytes a second. */
  readonly rate?: number;
  /** Bytes of the body after which the connection is cut. */
  readonly cutAfter?: number;
  /** No Content-Length. */
  readonly chunked?: boolean;
  /** Answers in place of all of the above. */
  readonly handler?: (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;
};

/** Nothing is left of it, and AVA waits for nothing, once the server is closed. */
const sleep = (ms: number): Promise<void> => wait(ms, undefined, { ref: false });

export async function serveRoute(route: Route, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (route.handler) return route.handler(request, response);
  if (route.delayMs) await sleep(route.delayMs);
  const whole = Buffer.from(route.body ?? '');
  const headers = {
    ...(route.etag !== undefined && { etag: route.etag }),
    ...(route.lastModified !== undefined && { 'last-modified': route.lastModified }),
    ...route.headers,
  };
  if (isKnown(route, request)) {
    response.writeHead(304, headers).end();
    return;
  }
  const [start, last] = rangeOf(route, request) ?? [];
  if (start !== undefined && start >= whole.byteLength) {
    response.writeHead(416, { ...headers, 'content-range': `bytes */${whole.byteLength}` }).end();
    return;
  }
  const body = whole.subarray(start ?? 0, last);
  response.writeHead(start === undefined ? (route.status ?? 200) : 206, {
    ...headers,
    ...(!route.chunked && { 'content-length': body.byteLength }),
    ...(start !== undefined && {
      'content-range': `bytes ${start}-${start + body.byteLength - 1}/${whole.byteLength}`,
    }),
  });
  if (request.method === 'HEAD') response.end();
  else await send(route, response, body);
}

async function send(route: Route, response: ServerResponse, whole: Buffer): Promise<void> {
  const body = whole.subarray(0, route.cutAfter);
  const step = route.rate ? Math.max(1, Math.floor(route.rate / 50)) : Math.max(1, body.byteLength);
  for (let at = 0; at < body.byteLength && !response.destroyed; at += step) {
    const flushed = new Promise((resolve) => response.write(body.subarray(at, at + step), resolve));
    if (route.rate) await sleep((1000 * step) / route.rate);
    await flushed;
  }
  if (body.byteLength < whole.byteLength) response.destroy();
  else response.end();
}

function isKnown({ etag, lastModified }: Route, { headers }: IncomingMessage): boolean {
  if (headers['if-none-match'] !== undefined) return headers['if-none-match'] === etag;
  return lastModified !== undefined && headers['if-modified-since'] === lastModified;
}

/** The first position, and the first behind the last if the request names one. */
function rangeOf(
  { ranges = true, etag, lastModified }: Route,
  { headers }: IncomingMessage,
): [number, number | undefined] | undefined {
  const [, start, last] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '') ?? [];
  if (!ranges || start === undefined) return undefined;
  const condition = headers['if-range'];
  const isSame = condition === undefined || condition === etag || condition === lastModified;
  return isSame ? [Number(start), last ? Number(last) + 1 : undefined] : undefined;
}
