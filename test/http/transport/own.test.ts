import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import test from 'ava';

import { hasCode, type ImageError } from '../../../src/errors.ts';
import type { HttpDocument, HttpOptions, Transport } from '../../../src/http/contract.ts';
import { ownTransport } from '../../../src/http/transport/own.ts';
import { fetchTransport } from '../../helpers/fetch-transport.ts';
import { hastyClock, openTestHttp } from '../../helpers/http.ts';
import type { Teardown } from '../../helpers/server.ts';

const signal = AbortSignal.timeout(600_000);
const url = 'http://a.example/a';
const soon = { connectMs: 20, headersMs: 30, stallMs: 50 };

function get(t: Teardown, transport: unknown, options: Partial<HttpOptions> = {}): Promise<HttpDocument> {
  const http = openTestHttp(t, { retries: 0, ...options, transport: transport as Transport });
  return http.getDocument({ url, limit: { name: 'page', bytes: 1000 }, statuses: [200] }, signal);
}

async function* bytes(...chunks: readonly unknown[]): AsyncGenerator<unknown> {
  for (const chunk of chunks) yield await Promise.resolve(chunk);
}

const answer = (parts: object = {}): unknown => ({ status: 200, headers: {}, body: bytes(), ...parts });

test('a transport that never answers is TIMEOUT after the times for connecting and for headers, and is told to stop', async (t) => {
  let given: AbortSignal | undefined;
  const never = (_: unknown, one: AbortSignal) => {
    given = one;
    return new Promise(() => undefined);
  };
  const error = await t.throwsAsync<ImageError<'TIMEOUT'>>(get(t, never, { timeouts: soon }));
  t.like(error, { code: 'TIMEOUT', message: 'no answer from a.example within 0.05 s', details: { url, waitedMs: 50 } });
  t.is(given?.reason, error);
});

test('an answer that comes too late is thrown away: its body is ended', async (t) => {
  const late = Promise.withResolvers<unknown>();
  const isEnded = Promise.withResolvers<boolean>();
  await t.throwsAsync(
    get(t, () => late.promise, { timeouts: soon }),
    { code: 'TIMEOUT' },
  );
  const iterator = { next: () => new Promise(() => undefined), return: () => isEnded.resolve(true) };
  late.resolve(answer({ body: { [Symbol.asyncIterator]: () => iterator } }));
  t.true(await isEnded.promise);
});

test('a body that never goes on is STALLED, though neither its next nor its return ever settles', async (t) => {
  const never = () => new Promise(() => undefined);
  const body = { [Symbol.asyncIterator]: () => ({ next: never, return: never }) };
  const stalled = get(t, () => Promise.resolve(answer({ body })), { timeouts: soon });
  await t.throwsAsync(stalled, { code: 'STALLED' });
});

test('a request that is cancelled rejects at once, whether the transport heeds its signal or not', async (t) => {
  const stop = new AbortController();
  const http = openTestHttp(t, { transport: () => new Promise(() => undefined) });
  const asked = http.getDocument({ url, limit: { name: 'page', bytes: 1 }, statuses: [200] }, stop.signal);
  const reason = new Error('enough');
  stop.abort(reason);
  t.is(await t.throwsAsync(asked), reason);
});

const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
const expired = Object.assign(new Error('certificate has expired'), { code: 'CERT_HAS_EXPIRED' });

const failures: readonly (readonly [string, unknown, object])[] = [
  ['an error of a socket', refused, { code: 'NETWORK', details: { url, reason: 'ECONNREFUSED' } }],
  ['one below fetch failed', new TypeError('fetch failed', { cause: reset }), { code: 'NETWORK' }],
  ['one of several addresses', new Error('all failed', { cause: new AggregateError([refused]) }), { code: 'NETWORK' }],
  ['fetch failed without a cause', new TypeError('fetch failed'), { code: 'NETWORK' }],
  ['a certificate below fetch failed', new TypeError('fetch failed', { cause: expired }), { code: 'TLS' }],
  ['a time limit of undici', Object.assign(new Error('x'), { code: 'UND_ERR_HEADERS_TIMEOUT' }), { code: 'TIMEOUT' }],
  ["a closed agent of undici's", Object.assign(new Error('x'), { code: 'UND_ERR_CLOSED' }), { code: 'NETWORK' }],
  ['a time limit of its own', new DOMException('too slow', 'TimeoutError'), { code: 'TIMEOUT' }],
];

for (const [what, thrown, expected] of failures) {
  test(`what an own transport throws has the code of the built-in client: ${what}`, async (t) => {
    t.like(await t.throwsAsync(get(t, () => Promise.reject(thrown as Error))), expected);
    t.like(
      await t.throwsAsync(
        get(t, () => {
          throw thrown;
        }),
      ),
      expected,
    );
  });
}

test('what is not of the network stays as it is, and is not tried again', async (t) => {
  const bug = new TypeError('x is not a function');
  let calls = 0;
  const broken = () => {
    calls += 1;
    return Promise.reject(bug);
  };
  t.is(await t.throwsAsync(get(t, broken, { retries: 4 })), bug);
  t.is(calls, 1);
});

test('errors of the network are retried, in the body too', async (t) => {
  const clock = hastyClock();
  async function* cut(): AsyncGenerator<Uint8Array> {
    yield await Promise.resolve(Buffer.from('ab'));
    throw new TypeError('terminated', { cause: reset });
  }
  const answers = [
    () => Promise.reject(new TypeError('fetch failed', { cause: refused })),
    () => Promise.resolve(answer({ body: cut() })),
    () => Promise.resolve(answer({ body: bytes(Buffer.from('abc')) })),
  ];
  const transport = (() => (answers.shift() ?? answers[0])?.()) as unknown as Transport;
  const http = openTestHttp(t, { transport }, clock);
  const { body } = await http.getDocument({ url, limit: { name: 'page', bytes: 9 }, statuses: [200] }, signal);
  t.is(Buffer.from(body).toString(), 'abc');
  t.is(clock.slept.length, 2);
});

test("a wrapper of Node's fetch fails as the built-in client does", async (t) => {
  const cutting = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc'));
  });
  const closed = createServer();
  const http = openTestHttp(t, { retries: 0, transport: fetchTransport });
  const ask = (port: number) =>
    http.getDocument({ url: `http://127.0.0.1:${port}/`, limit: { name: 'page', bytes: 9 }, statuses: [200] }, signal);
  await t.throwsAsync(ask(await listen(cutting)), { code: 'LENGTH_MISMATCH' });
  cutting.close();
  const unused = await listen(closed); // a port that no connection is kept for
  closed.close();
  await once(closed, 'close');
  await t.throwsAsync(ask(unused), { code: 'NETWORK', message: /refused/ });
});

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' ? (address?.port ?? 0) : 0;
}

const shapes: readonly (readonly [unknown, RegExp])[] = [
  [undefined, /not an object/],
  [answer({ status: '200' }), /status/],
  [answer({ status: 0 }), /status is 0/],
  [answer({ headers: undefined }), /headers/],
  [answer({ headers: new Headers({ etag: '"1"' }) }), /headers are not a plain object/],
  [answer({ headers: { 'X\n': 1 } }), /header x\S+ is neither/],
  [answer({ body: null }), /body/],
  [answer({ body: 'text' }), /body/],
  [answer({ recycle: true }), /recycle/],
  [answer({ body: bytes('text') }), /chunk/],
];

test('an answer of the wrong shape is RESPONSE_INVALID, said in words, and not asked for again', async (t) => {
  for (const [wrong, message] of shapes) {
    let calls = 0;
    const transport = () => {
      calls += 1;
      return Promise.resolve(wrong);
    };
    const error = await t.throwsAsync(get(t, transport, { retries: 4 }), { message });
    t.true(hasCode(error, 'RESPONSE_INVALID'));
    t.is(calls, 1);
  }
});

test('header names may have upper case', async (t) => {
  const headers = { ETag: '"1"', 'X-A': '1', 'x-a': ['2', '3'] };
  const { headers: seen } = await get(t, () => Promise.resolve(answer({ headers })));
  t.deepEqual({ ...seen }, { etag: '"1"', 'x-a': ['1', '2', '3'] });
});

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

test('what has been read of a body is not kept until the exchange ends', async (t) => {
  const chunks: WeakRef<Uint8Array>[] = [];
  async function* pour(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = new Uint8Array(1000);
      chunks.push(new WeakRef(chunk));
      yield await Promise.resolve(chunk);
    }
  }
  const own = ownTransport(() => Promise.resolve({ status: 200, headers: {}, body: pour() }), soon);
  const { body } = await own({ method: 'GET', url, headers: {} }, signal);
  const reader = body[Symbol.asyncIterator]();
  for (let count = 0; count < 1000; count += 1) await reader.next();
  await setImmediate(); // a WeakRef keeps its object until the turn ends
  collectGarbage();
  const kept = chunks.filter((chunk) => chunk.deref()).length;
  t.true(kept < 10, `${kept} of 1000 chunks are kept`);
  await reader.return?.();
});
