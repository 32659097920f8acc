import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import type { Sink } from '../../src/http/contract.ts';
import { openTestHttp } from '../helpers/http.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { startRawServer } from '../helpers/raw-server.ts';
import { startServer } from '../helpers/server.ts';
import { until } from '../helpers/until.ts';

const signal = AbortSignal.timeout(600_000);
const body = randomBytes(200_000);
const half = body.subarray(0, 100_000);
const etag = '"1"';

/** Gives the first request an answer that breaks off, and the second what it asks for. */
async function breakOnce(
  t: Parameters<typeof startRawServer>[0],
  first: (socket: Socket, sink: Sink) => void,
  sink: Sink,
) {
  return startRawServer(t, (socket, head, count) => {
    if (count === 1) return first(socket, sink);
    const start = Number(/range: bytes=(\d+)-/.exec(head)?.[1] ?? 0);
    const rest = body.subarray(start);
    const range = start > 0 ? `content-range: bytes ${start}-${body.byteLength - 1}/${body.byteLength}\r\n` : '';
    const status = start > 0 ? '206 Partial Content' : '200 OK';
    socket.write(`HTTP/1.1 ${status}\r\netag: ${etag}\r\n${range}content-length: ${rest.byteLength}\r\n\r\n`);
    socket.write(rest);
  });
}

/** Bytes that wait to be read are lost with a reset. */
async function resetLater(socket: Socket, sink: Sink): Promise<void> {
  await until(() => sink.bytes === half.byteLength);
  socket.resetAndDestroy();
}

const length = `content-length: ${body.byteLength}\r\n`;
const cuts: Readonly<Record<string, { code: string; first: (socket: Socket, sink: Sink) => void }>> = {
  'closed early, with a length': {
    code: 'LENGTH_MISMATCH',
    first: (socket) => {
      socket.write(`HTTP/1.1 200 OK\r\netag: ${etag}\r\n${length}\r\n`);
      socket.end(half);
    },
  },
  'closed early, with a length, on a connection that was to close': {
    code: 'LENGTH_MISMATCH',
    first: (socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nconnection: close\r\netag: ${etag}\r\n${length}\r\n`);
      socket.end(half);
    },
  },
  'closed between chunks': {
    code: 'NETWORK',
    first: (socket) => {
      socket.write(`HTTP/1.1 200 OK\r\netag: ${etag}\r\ntransfer-encoding: chunked\r\n\r\n`);
      socket.write(`${half.byteLength.toString(16)}\r\n`);
      socket.write(half);
      socket.end('\r\n');
    },
  },
  'closed between chunks, on a connection that was to close': {
    code: 'NETWORK',
    first: (socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nconnection: close\r\netag: ${etag}\r\ntransfer-encoding: chunked\r\n\r\n`);
      socket.write(`${half.byteLength.toString(16)}\r\n`);
      socket.write(half);
      socket.end('\r\n');
    },
  },
  'reset, with a length': {
    code: 'NETWORK',
    first: (socket, sink) => {
      socket.write(`HTTP/1.1 200 OK\r\netag: ${etag}\r\n${length}\r\n`);
      socket.write(half);
      void resetLater(socket, sink);
    },
  },
  'reset, without a length': {
    code: 'NETWORK',
    first: (socket, sink) => {
      socket.write(`HTTP/1.0 200 OK\r\netag: ${etag}\r\n\r\n`);
      socket.write(half);
      void resetLater(socket, sink);
    },
  },
};

for (const [what, { code, first }] of Object.entries(cuts)) {
  test(`a body that is ${what}, is resumed where it broke off`, async (t) => {
    const sink = memorySink();
    const server = await breakOnce(t, first, sink);
    const codes: string[] = [];
    const result = await openTestHttp(t).download(
      { url: `${server.url}/a`, sink, observer: { onRetry: (retry) => codes.push(retry.code) } },
      signal,
    );
    t.deepEqual(codes, [code]);
    t.true(sink.content().equals(body));
    t.like(result, { responses: 2, transferred: body.byteLength });
    t.regex(server.requests[1] ?? '', /range: bytes=100000-\r\nif-range: "1"/);
  });
}

test('a body without a length that ends with its connection is whole', async (t) => {
  const server = await startRawServer(t, (socket) => void socket.end('HTTP/1.0 200 OK\r\n\r\nhello'));
  const sink = memorySink();
  await openTestHttp(t).download({ url: server.url, sink }, signal);
  t.is(sink.content().toString(), 'hello');
});

test('a download from a server that never sends a byte fails after the retries', async (t) => {
  const server = await startRawServer(t, (socket) => void socket.destroy());
  const error = await t.throwsAsync(openTestHttp(t).download({ url: server.url, sink: memorySink() }, signal));
  t.true(hasCode(error, 'NETWORK'));
  t.is(server.requests.length, 5);
});

test('a download from a server without ranges that always cuts the body fails, however much it sends', async (t) => {
  const server = await startServer(t, { '/a': { body, etag, ranges: false, cutAfter: 100_000 } });
  const error = await t.throwsAsync(openTestHttp(t).download({ url: `${server.url}/a`, sink: memorySink() }, signal));
  t.true(hasCode(error, 'LENGTH_MISMATCH') || hasCode(error, 'NETWORK'));
  t.true(server.requests.length <= 10);
});

test('a hundred cuts transfer few more bytes than the body has', async (t) => {
  const large = randomBytes(5_000_000);
  const server = await startServer(t, { '/a': { body: large, etag, cutAfter: 50_000 } });
  const sink = memorySink();
  const result = await openTestHttp(t).download({ url: `${server.url}/a`, sink }, signal);
  t.true(sink.content().equals(large));
  t.true(server.requests.length >= 100);
  t.is(result.kind === 'complete' ? result.transferred : 0, large.byteLength);
  const starts = server.requests.map(({ headers }) => Number(/\d+/.exec(headers.range ?? '')?.[0] ?? 0));
  const again = starts.slice(1).map((start, index) => (starts[index] ?? 0) + 50_000 - start);
  t.is(Math.max(...again), 0);
});

test('a server may close the connection while its body is paused', async (t) => {
  const large = Buffer.alloc(8_000_000, 1);
  const server = await startRawServer(t, (socket) => {
    socket.write('HTTP/1.0 200 OK\r\n\r\n');
    socket.end(large);
  });
  const http = openTestHttp(t);
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      const sink = memorySink();
      const append = async (chunks: readonly Uint8Array[]) => {
        await new Promise((resolve) => setTimeout(resolve, 20));
        await sink.append(chunks);
      };
      const slow = { ...sink, append };
      Object.defineProperty(slow, 'bytes', { get: () => sink.bytes });
      await http.download({ url: server.url, sink: slow }, signal);
      t.is(sink.bytes, large.byteLength);
    }),
  );
});

/** The body is read slowly: it waits in the process, and the socket is paused, when the connection closes behind its last byte. */
for (const kept of [1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6].map((share) => Math.round(share * 1024 * 1024))) {
  test(`a body of ${kept} bytes that has come whole is complete, though the connection closes before it is read`, async (t) => {
    const whole = randomBytes(kept);
    const sent = Promise.withResolvers<void>();
    const send = async (socket: Socket): Promise<void> => {
      socket.write(`HTTP/1.1 200 OK\r\netag: ${etag}\r\ncontent-length: ${kept}\r\n\r\n`);
      for (let at = 0; at < kept; at += 32 * 1024) {
        socket.write(whole.subarray(at, at + 32 * 1024));
        await sleep(1);
      }
      socket.end();
      await once(socket, 'finish');
      await sleep(50);
      sent.resolve();
    };
    const server = await startRawServer(t, (socket) => void send(socket));
    const sink = memorySink();
    const slow = {
      ...sink,
      get bytes() {
        return sink.bytes;
      },
      async append(chunks: readonly Uint8Array[]) {
        await sent.promise;
        return sink.append(chunks);
      },
    };
    await openTestHttp(t, { retries: 0 }).download({ url: server.url, sink: slow }, signal);
    t.true(sink.content().equals(whole));
    t.is(server.requests.length, 1);
  });
}
