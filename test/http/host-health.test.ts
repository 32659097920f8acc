import { createServer } from 'node:net';

import test from 'ava';

import { hasCode, ImageError } from '../../src/errors.ts';
import { createHostHealth } from '../../src/http/host-health.ts';
import { hastyClock, openTestHttp } from '../helpers/http.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { startRawServer } from '../helpers/raw-server.ts';
import { startServer } from '../helpers/server.ts';
import { until } from '../helpers/until.ts';

const signal = AbortSignal.timeout(600_000);
const origin = 'http://a.example';
const refused = new ImageError('NETWORK', 'connection refused', { url: `${origin}/x` });

test('a host is dead once a request has given up after tries without an answer', (t) => {
  const health = createHostHealth({ monotonic: () => 0 });
  for (let tries = 0; tries < 10; tries += 1) t.false(health.noteFailure(origin, refused, false));
  t.notThrows(() => health.check(origin));
  t.true(health.noteFailure(origin, refused, true));
  t.true(
    hasCode(
      t.throws(() => health.check(origin)),
      'NETWORK',
    ),
  );
  t.true(health.noteFailure(origin, refused, false), 'who still tries gives up too');
  t.notThrows(() => health.check('http://b.example'));
});

test('a host is not dead after a short interruption, a failure of another host, or a failed answer', (t) => {
  const health = createHostHealth({ monotonic: () => 0 });
  const elsewhere = new ImageError('NETWORK', 'x', { url: 'http://b.example/' });
  const busy = new ImageError('HTTP_STATUS', 'x', { url: `${origin}/x`, status: 503 });
  for (const error of [elsewhere, busy, refused, refused]) t.false(health.noteFailure(origin, error, true));
  health.noteAnswer(origin);
  t.false(health.noteFailure(origin, refused, true));
  t.notThrows(() => health.check(origin));
});

test('every few seconds one request to a dead host passes, and an answer ends that state', (t) => {
  let now = 0;
  const health = createHostHealth({ monotonic: () => now });
  for (let tries = 0; tries < 3; tries += 1) health.noteFailure(origin, refused, true);
  t.throws(() => health.check(origin));
  now = 5_000;
  t.notThrows(() => health.check(origin));
  t.throws(() => health.check(origin), undefined, 'one only');
  health.noteAnswer(origin);
  t.notThrows(() => health.check(origin));
});

test('of many requests to a silent host only the first wait for it; once it answers, all succeed', async (t) => {
  const silent = await startRawServer(t, () => undefined);
  const http = openTestHttp(t, { retries: 2, timeouts: { connectMs: 60_000, headersMs: 100, stallMs: 60_000 } });
  const get = () => http.download({ url: silent.url, sink: memorySink() }, signal);
  t.true(hasCode(await t.throwsAsync(get()), 'TIMEOUT'));
  await until(() => silent.requests.length >= 3); // it reads them in its own time
  for (let more = 0; more < 50; more += 1) t.true(hasCode(await t.throwsAsync(get()), 'TIMEOUT'));
  t.is(silent.requests.length, 3);
});

test('requests that failed while the server was down succeed once it is up again', async (t) => {
  let now = 0;
  const server = await startServer(t, { '/a': { body: 'x' } });
  await server.close();
  const http = openTestHttp(t, { retries: 2 }, { ...hastyClock(), monotonic: () => now });
  const get = () => http.download({ url: `${server.url}/a`, sink: memorySink() }, signal);
  t.true(hasCode(await t.throwsAsync(get()), 'NETWORK'));
  t.regex((await t.throwsAsync(get())).message, /connection refused.*other requests to it failed as well/);
  now = 6_000;
  const again = createServer((socket) => void socket.end('HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx'));
  again.listen(server.port, '127.0.0.1');
  t.teardown(() => void again.close());
  await t.notThrowsAsync(get());
  await t.notThrowsAsync(get());
});
