import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join, normalize } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';

/** A file that an origin serves. */
type SampleBody = {
  readonly length: number;
  /** Strong and quoted. */
  readonly etag: string;
  /** Reads its bytes from one position to another. */
  readonly read: (from: number, to: number) => Readable;
};

export type OriginOptions = {
  /** Finds the file at a path such as `/demo.example/app/web-1.0.aci`. */
  readonly find: (path: string) => Promise<SampleBody | undefined>;
  /** The answer to every discovery request. */
  readonly discoveryPage: (origin: string) => string;
  /** Delay before each answer. Default none. */
  readonly delayMs?: number;
  /** The most bytes a second of each answer. Default no limit. */
  readonly rate?: number;
  /** How many of a hundred answers with a body break off halfway. Default none. */
  readonly loss?: number;
};

type Origin = AsyncDisposable & {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
};

/** Serves files on loopback, with entity tags and ranges. */
export async function startOrigin(options: OriginOptions): Promise<Origin> {
  let url = '';
  const isLost = createLoss(options.loss ?? 0);
  const server = createServer((request, response) => {
    void respond({ ...options, isLost }, url, request, response).catch(() => response.destroy());
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

async function respond(
  { find, discoveryPage, delayMs = 0, rate, isLost }: OriginOptions & { readonly isLost: () => boolean },
  url: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (delayMs > 0) await sleep(delayMs, undefined, { ref: false }); // no reason to stay alive
  const { pathname, searchParams } = new URL(request.url ?? '/', url);
  if (searchParams.has('ac-discovery')) {
    response.end(discoveryPage(url));
    return;
  }
  const body = await find(pathname);
  if (!body) {
    response.writeHead(404).end();
    return;
  }
  const part = writeHead(request, response, body);
  if (!part) return;
  const { from, to } = part;
  response.flushHeaders(); // otherwise headers would wait for the first bytes of a slow body
  const steps = [...(rate === undefined ? [] : [paced(rate)]), ...(isLost() ? [breakAfter((to - from) >> 1)] : [])];
  const source: AsyncIterable<Uint8Array> = body.read(from, to);
  await pipeline(
    steps.reduce((chunks, step) => step(chunks), source),
    response,
  );
}

/** @returns what to send of the body, or undefined when the answer is complete. */
function writeHead({ headers }: IncomingMessage, response: ServerResponse, body: SampleBody): Part | undefined {
  const { etag, length } = body;
  response.setHeader('etag', etag);
  if (headers['if-none-match'] === etag) {
    response.writeHead(304).end();
    return undefined;
  }
  const isSame = headers['if-range'] === undefined || headers['if-range'] === etag;
  const part = isSame ? rangeOf(headers.range, length) : undefined;
  if (!part) {
    response.writeHead(200, { 'content-length': length });
    return { from: 0, to: length };
  }
  const { from, to } = part;
  response.writeHead(206, { 'content-length': to - from, 'content-range': `bytes ${from}-${to - 1}/${length}` });
  return part;
}

/** The positions of the first byte and of the first byte behind the last. */
type Part = { readonly from: number; readonly to: number };

/** `bytes=N-` or `bytes=N-M`, the forms that longshore sends. */
function rangeOf(range: string | undefined, length: number): Part | undefined {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? [];
  const [from, to] = [Number(first ?? NaN), last ? Math.min(length, Number(last) + 1) : length];
  return from < to ? { from, to } : undefined;
}

const chunkLength = 256 * 1024;

/** Finds files below a directory; a path that ends in a slash means the file `index` there. */
export function inDirectory(directory: string): OriginOptions['find'] {
  return async (path) => {
    const file = join(directory, normalize(path.endsWith('/') ? `${path}index` : path));
    const found = await stat(file).catch(() => undefined); // whatever the reason, it cannot be served
    if (!found?.isFile()) return undefined;
    return {
      length: found.size,
      etag: `"${found.size}-${found.mtimeMs}"`,
      read: (start, to) => createReadStream(file, { start, end: to - 1, highWaterMark: chunkLength }),
    };
  };
}

/** Files by path, such as `/demo.example/app/web-1.0.aci`. */
export type Files = ReadonlyMap<string, Uint8Array>;

/** Finds files in memory. */
export function inMemory(files: Files): OriginOptions['find'] {
  const bodies = new Map(Array.from(files, ([path, bytes]) => [path, bodyOf(bytes)]));
  return (path) => Promise.resolve(bodies.get(path));
}

function bodyOf(bytes: Uint8Array): SampleBody {
  return {
    length: bytes.length,
    etag: `"${createHash('sha256').update(bytes).digest('hex')}"`,
    read: (from, to) => Readable.from([bytes.subarray(from, to)]),
  };
}

/** The discovery page of a prefix. Its images are at `ORIGIN/NAME-VERSION.aci`, next to their signatures. */
export function discoveryPage(title: string, prefix: string): (origin: string) => string {
  return (origin) =>
    `<!doctype html><title>${title}</title><meta name="ac-discovery" content="${prefix} ${origin}/{name}-{version}.{ext}">\n`;
}

/** Returns whether the next answer is to break off: `percent` of a hundred, evenly spread, the same ones each time. */
function createLoss(percent: number): () => boolean {
  let due = 0;
  return () => {
    due += percent;
    if (due < 100) return false;
    due -= 100;
    return true;
  };
}

/** A pipeline step that fails after so many bytes. */
function breakAfter(bytes: number) {
  return async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let left = bytes;
    for await (const chunk of chunks) {
      yield chunk.subarray(0, left);
      left -= chunk.byteLength;
      if (left > 0) continue;
      await turn(); // the bytes passed on are sent first
      throw new Error('lost, as it was asked for');
    }
  };
}

/** A pipeline step that passes bytes on at a steady rate, counted from its own start. */
function paced(bytesPerSecond: number) {
  return async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const startMs = performance.now();
    let sent = 0;
    for await (const chunk of chunks) {
      sent += chunk.byteLength;
      const waitMs = startMs + (sent / bytesPerSecond) * 1000 - performance.now();
      if (waitMs > 0) await sleep(waitMs, undefined, { ref: false }); // no reason to stay alive
      yield chunk;
    }
  };
}
