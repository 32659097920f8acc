import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import { Worker } from 'node:worker_threads';

import test, { type ExecutionContext } from 'ava';

import type { HttpOptions, Transport } from '../../src/http/contract.ts';
import { bodyOf, paceBody } from '../../src/http/request-body.ts';
import { makeCertificate } from '../helpers/certificates.ts';
import { hastyClock, openTestHttp } from '../helpers/http.ts';
import { startServer } from '../helpers/server.ts';

const signal = AbortSignal.timeout(600_000);
const limit = { name: 'page', bytes: 1000 };
const bytes = Buffer.alloc(3_000_000, 'a');

/** A body in pieces, and how often it was begun. */
function pieces() {
  const body = {
    bytes: bytes.length,
    opened: 0,
    async *open() {
      body.opened += 1;
      for (let at = 0; at < bytes.length; at += 100_000) yield await Promise.resolve(bytes.subarray(at, at + 100_000));
    },
  };
  return body;
}

test('a body is sent with its length, and anew with each try', async (t) => {
  const seen: (readonly [string | undefined, string | undefined, boolean])[] = [];
  const { url } = await startServer(t, {
    '/': {
      async handler(request, response) {
        const { 'content-length': length, 'transfer-encoding': coding } = request.headers;
        seen.push([length, coding, (await buffer(request)).equals(bytes)]);
        response.writeHead(seen.length < 3 ? 502 : 201).end();
      },
    },
  });
  const body = pieces();
  const http = openTestHttp(t, { retries: 4 });
  const { status } = await http.getDocument({ url: `${url}/`, method: 'PUT', body, limit, statuses: [201] }, signal);
  t.is(status, 201);
  t.is(body.opened, 3);
  t.deepEqual(seen, Array(3).fill([String(bytes.length), undefined, true]));
});

test('a part is not repeated, and what it is a part of is', async (t) => {
  let asked = 0;
  const { url } = await startServer(t, {
    '/': { handler: (_, response) => void response.writeHead((asked += 1) < 3 ? 503 : 200).end() },
  });
  const http = openTestHttp(t, { retries: 4 });
  const request = {
    url: `${url}/`,
    method: 'PATCH',
    body: bodyOf(Buffer.from('a')),
    limit,
    statuses: [200],
    isPart: true,
  } as const;
  await t.throwsAsync(http.getDocument(request, signal), { code: 'HTTP_STATUS' });
  t.is(asked, 1);
  await http.repeat({ url }, () => http.getDocument(request, signal), signal);
  t.is(asked, 3);
});

test('an error of the body ends the exchange with that error', async (t) => {
  const { url } = await startServer(t, { '/': { handler: (request) => void request.resume() } });
  const failure = new Error('the file is gone');
  const body = {
    bytes: 1000,
    async *open() {
      yield await Promise.resolve(Buffer.from('a'));
      throw failure;
    },
  };
  const http = openTestHttp(t);
  const error = await t.throwsAsync(
    http.getDocument({ url: `${url}/`, method: 'PUT', body, limit, statuses: [200] }, signal),
  );
  t.is(error, failure);
});

const own: Transport = async ({ body }) => {
  for await (const chunk of body?.open() ?? []) if (chunk.length === 0) break;
  return { status: 200, headers: {}, body: (async function* () {})() };
};

for (const [who, options] of Object.entries<Partial<HttpOptions>>({
  'the built-in client': {},
  'an own transport': { transport: own },
})) {
  test(`${who}: what is sent keeps to the rate`, async (t) => {
    const { url } = await startServer(t, {
      '/': { handler: (request, response) => void request.resume().on('end', () => response.end()) },
    });
    const clock = { ...hastyClock(), monotonic: () => 0 };
    const http = openTestHttp(t, { ...options, limitRate: 10_000_000 }, clock);
    await http.getDocument({ url: `${url}/`, method: 'PUT', body: pieces(), limit, statuses: [200] }, signal);
    t.is(Math.round(clock.slept.at(-1) ?? 0), 200); // 300 ms less the 100 that are saved before
  });
}

test('a server that takes nothing more of a body is STALLED; the time of the body itself does not count', async (t) => {
  const { url } = await startServer(t, {
    '/never': { handler: () => undefined },
    '/slow': { handler: (request, response) => void request.resume().on('end', () => response.end()) },
  });
  const timeouts = { connectMs: 60_000, headersMs: 60_000, stallMs: 300 };
  const http = openTestHttp(t, { timeouts, retries: 0 });
  const ask = { method: 'PUT', limit, statuses: [200] } as const;
  const huge = {
    bytes: 100 * bytes.length,
    async *open() {
      for (let count = 0; count < 100; count += 1) yield* pieces().open();
    },
  };
  await t.throwsAsync(http.getDocument({ ...ask, url: `${url}/never`, body: huge }, signal), { code: 'STALLED' });
  const slow = {
    bytes: 2,
    async *open() {
      yield Buffer.from('a');
      await new Promise((resolve) => setTimeout(resolve, 900));
      yield Buffer.from('b');
    },
  };
  t.is((await http.getDocument({ ...ask, url: `${url}/slow`, body: slow }, signal)).status, 200);
});

test.serial('a chunk that is taken late, since the thread was busy, was not refused', async (t) => {
  const slow: unknown[] = [];
  const rest = { limiter: undefined, pacing: undefined, minRate: undefined, windowMs: 1000, sent: { bytes: 0 } };
  const clock = { ...hastyClock(), monotonic: () => 0 };
  const sending = { ...rest, stallMs: 50, clock, onSlow: (slowness: unknown) => void slow.push(slowness) };
  const chunks = paceBody(pieces(), sending, signal).open()[Symbol.asyncIterator]();
  await chunks.next();
  setTimeout(() => void chunks.next(), 50);
  for (const end = performance.now() + 100; performance.now() < end;); // both timers run before anything else
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.deepEqual(slow, []);
  await chunks.return?.();
});

/** A server in a thread that, once the first part of a body was sent, answers and closes without having read it: a reset. */
const closesEarly = `
const { workerData: { state, answer, tls } } = require('node:worker_threads');
const onConnection = (socket) => {
  socket.once('data', () => {
    socket.pause();
    Atomics.wait(state, 0, 0);
    socket.write(answer);
    socket.on('close', () => {
      Atomics.store(state, 1, 1);
      Atomics.notify(state, 1);
    });
    socket.destroy();
  });
};
const server = tls ? require('node:tls').createServer(tls, onConnection) : require('node:net').createServer(onConnection);
server.listen(0, '127.0.0.1', () => require('node:worker_threads').parentPort.postMessage(server.address().port));
`;

/** Puts a body to such a server; what it answers has come before the last part is written. */
async function putToClosing(t: ExecutionContext, answer: string, isTls: boolean) {
  const state = new Int32Array(new SharedArrayBuffer(8));
  const tls = isTls ? await makeCertificate(['127.0.0.1']) : undefined;
  const worker = new Worker(closesEarly, { eval: true, workerData: { state, answer, tls } });
  t.teardown(() => worker.terminate());
  const [port] = (await once(worker, 'message')) as [number];
  const body = {
    bytes: 400_000,
    async *open() {
      yield await Promise.resolve(bytes.subarray(0, 300_000));
      Atomics.store(state, 0, 1);
      Atomics.notify(state, 0);
      Atomics.wait(state, 1, 0, 60_000); // so that nothing is read before the next part is written
      yield bytes.subarray(0, 100_000);
    },
  };
  const http = openTestHttp(t, { retries: 0, ...(tls && { ca: [tls.ca] }) });
  const url = `${isTls ? 'https' : 'http'}://127.0.0.1:${port}/`;
  return http.getDocument({ url, method: 'PUT', body, limit, statuses: [401, 403, 413, 429, 507] }, signal);
}

for (const isTls of [false, true]) {
  for (const status of [401, 403, 413, 429, 507]) {
    test(`an answer of ${status} is heard from a server that closes${isTls ? ' TLS' : ''} while the body is sent`, async (t) => {
      const head = `HTTP/1.1 ${status} No\r\ncontent-length: 4\r\nconnection: close\r\n\r\n`;
      const answer = await putToClosing(t, `${head}full`, isTls);
      t.is(answer.status, status);
      t.is(Buffer.from(answer.body).toString(), 'full');
    });
  }
}

test('a server that resets without an answer, or in one whose end is not known, has cut the connection', async (t) => {
  for (const answer of ['', 'HTTP/1.1 413 No\r\n', 'HTTP/1.1 413 No\r\nconnection: close\r\n\r\nfu'])
    await t.throwsAsync(putToClosing(t, answer, false), { code: 'NETWORK', message: /was cut/ }, answer);
});
