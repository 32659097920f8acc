import { once } from 'node:events';
import { createServer } from 'node:net';

import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { systemClock } from '../../src/http/open-http.ts';
import { openTestHttp } from '../helpers/http.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { startRawServer } from '../helpers/raw-server.ts';
import { listen, startServer } from '../helpers/server.ts';
import { until } from '../helpers/until.ts';

const signal = AbortSignal.timeout(600_000);
/** Longer than any test is waited for. */
const long = { connectMs: 3_600_000, headersMs: 3_600_000, stallMs: 3_600_000 };

test('a server that accepts the connection but does not answer the TLS handshake is a connect timeout', async (t) => {
  const { port } = await listen(t, createServer());
  const http = openTestHttp(t, { timeouts: { ...long, connectMs: 300 }, retries: 1 });
  const error = await t.throwsAsync(http.download({ url: `https://127.0.0.1:${port}/`, sink: memorySink() }, signal));
  t.true(hasCode(error, 'TIMEOUT'), `${error}`);
  t.like(error, { details: { waitedMs: 300 } });
});

test('a silent server is a timeout, after the retries', async (t) => {
  const server = await startRawServer(t, () => undefined);
  const http = openTestHttp(t, { timeouts: { ...long, headersMs: 300 }, retries: 1 });
  const error = await t.throwsAsync(http.download({ url: server.url, sink: memorySink() }, signal));
  t.true(hasCode(error, 'TIMEOUT'));
  await until(() => server.requests.length >= 2); // it reads them in its own time
  t.is(server.requests.length, 2);
});

test('headers that arrive too slowly are a timeout', async (t) => {
  const server = await startRawServer(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\n');
    const drip = setInterval(() => socket.write('x: y\r\n'), 20);
    socket.on('close', () => clearInterval(drip));
  });
  const http = openTestHttp(t, { timeouts: { ...long, headersMs: 300 }, retries: 0 });
  t.true(hasCode(await t.throwsAsync(http.download({ url: server.url, sink: memorySink() }, signal)), 'TIMEOUT'));
});

test('interim answers without end are a timeout', async (t) => {
  const server = await startRawServer(t, (socket) => {
    const drip = setInterval(() => socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'), 20);
    socket.on('close', () => clearInterval(drip));
  });
  const http = openTestHttp(t, { timeouts: { ...long, headersMs: 300 }, retries: 0 });
  t.true(hasCode(await t.throwsAsync(http.download({ url: server.url, sink: memorySink() }, signal)), 'TIMEOUT'));
});

test('a body that stalls once is resumed', async (t) => {
  const server = await startRawServer(t, (socket, head) => {
    const isRest = /range: bytes=3-/.test(head);
    const status = isRest ? '206 Partial Content\r\ncontent-range: bytes 3-5/6' : '200 OK\r\netag: "1"';
    socket.write(`HTTP/1.1 ${status}\r\ncontent-length: ${isRest ? 3 : 6}\r\n\r\n${isRest ? 'def' : 'abc'}`);
  });
  const sink = memorySink();
  const codes: string[] = [];
  const observer = { onRetry: ({ code }: { code: string }) => void codes.push(code) };
  await openTestHttp(t, { timeouts: { ...long, stallMs: 400 } }).download({ url: server.url, sink, observer }, signal);
  t.is(sink.content().toString(), 'abcdef');
  t.deepEqual(codes, ['STALLED']);
});

test('a body below the minimum rate has stalled', async (t) => {
  const server = await startServer(t, { '/a': { body: Buffer.alloc(100_000), etag: '"1"', rate: 500 } });
  const http = openTestHttp(t, { minRate: 10_000, retries: 0 });
  const started = performance.now();
  const error = await t.throwsAsync(http.download({ url: `${server.url}/a`, sink: memorySink() }, signal));
  t.true(hasCode(error, 'STALLED'), `${error}`);
  t.true(performance.now() - started >= 4900);
});

test('a slow sink does not make a body count as stalled', async (t) => {
  const body = Buffer.alloc(3_000_000, 1);
  const server = await startServer(t, { '/a': { body } });
  const sink = memorySink();
  const append = async (chunks: readonly Uint8Array[]) => {
    await new Promise((resolve) => setTimeout(resolve, 600));
    await sink.append(chunks);
  };
  const slow = Object.create(sink, { append: { value: append } }) as typeof sink;
  const retries: unknown[] = [];
  const observer = { onRetry: (retry: unknown) => void retries.push(retry) };
  await openTestHttp(t, { timeouts: { ...long, stallMs: 400 } }).download(
    { url: `${server.url}/a`, sink: slow, observer },
    signal,
  );
  t.true(sink.content().equals(body));
  t.deepEqual(retries, []);
});

for (const [what, url] of Object.entries({
  'a port nobody listens on': 'http://127.0.0.1:1/',
  'a name that does not exist': 'http://no-such-host.invalid/',
})) {
  test(`${what} is a network failure`, async (t) => {
    const error = await t.throwsAsync(openTestHttp(t, { retries: 1 }).download({ url, sink: memorySink() }, signal));
    t.true(hasCode(error, 'NETWORK'), `${error}`);
  });
}

test('closing is immediate, whatever is under way', async (t) => {
  const silent = await startRawServer(t, () => undefined);
  const mute = createServer();
  const connected = once(mute, 'connection');
  const { port } = await listen(t, mute);
  const stalled = await startRawServer(
    t,
    (socket) => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc'),
  );
  const http = openTestHttp(t, { timeouts: long, retries: 0 });
  const urls = [silent.url, `https://127.0.0.1:${port}`, stalled.url];
  const begun = memorySink();
  const outcomes = Promise.allSettled(
    urls.map((url) => http.download({ url, sink: url === stalled.url ? begun : memorySink() }, signal)),
  );
  await Promise.all([connected, until(() => silent.requests.length === 1 && begun.bytes === 3)]);
  await http.close();
  t.true((await outcomes).every(({ status }) => status === 'rejected'));
});

test('after closing no request is sent', async (t) => {
  const server = await startServer(t, {});
  const http = openTestHttp(t);
  await http.close();
  const error = await t.throwsAsync(http.download({ url: server.url, sink: memorySink() }, signal));
  t.true(hasCode(error, 'CANCELLED'), `${error}`);
  t.is(server.requests.length, 0);
});

test('an abort is prompt in every phase', async (t) => {
  const silent = await startRawServer(t, () => undefined);
  const mute = createServer();
  const connected = once(mute, 'connection');
  const { port } = await listen(t, mute);
  const stalled = await startRawServer(
    t,
    (socket) => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc'),
  );
  const busy = await startServer(t, { '/': { status: 503, headers: { 'retry-after': '200' } } });
  const http = openTestHttp(t, { timeouts: long }, systemClock);
  const reason = new Error('enough');
  const stop = new AbortController();
  const urls = [silent.url, `https://127.0.0.1:${port}`, stalled.url, busy.url];
  const begun = memorySink();
  let pauses = 0;
  const observer = { onRetry: () => void (pauses += 1) };
  const running = urls.map((url) =>
    http.download({ url, sink: url === stalled.url ? begun : memorySink(), observer }, stop.signal),
  );
  const outcomes = Promise.allSettled(running);
  await Promise.all([connected, until(() => silent.requests.length === 1 && begun.bytes === 3 && pauses === 1)]);
  stop.abort(reason);
  for (const outcome of await outcomes) t.is(outcome.status === 'rejected' ? outcome.reason : undefined, reason);
});
