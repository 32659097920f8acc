import { createServer } from 'node:net';

import test from 'ava';

import { hasCode, ImageError } from '../../src/errors.ts';
import { createHostHealth } from '../../src/http/host-health.ts';
import { hastyClock, openTestHttp } from '../helpers/http.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { startRawServer } from '../helpers/raw-server.ts';
import { startServer } from '../helpers/server.ts';

const signal = AbortSignal.timeout(30_000);
const origin = 'http://a.example';
const refused = new ImageError('NETWORK', 'connection refused', { url: `${origin}/x` });

test('a host is dead when a request has given up after tries that nobody answered, and not before', (t) => {
  const health = createHostHealth({ monotonic: () => 0 });
  for (let tries = 0; tries < 10; tries += 1) t.false(health.failed(origin, refused, false));
  t.notThrows(() => health.check(origin));
  t.true(health.failed(origin, refused, true));
  t.true(
    hasCode(
      t.throws(() => health.check(origin)),
      'NETWORK',
    ),
  );
  t.true(health.failed(origin, refused, false), 'who still tries gives up too');
  t.notThrows(() => health.check('http://b.example'));
});

test('a short interruption makes no host dead, nor does what another host did, nor an answer that fails', (t) => {
  const health = createHostHealth({ monotonic: () => 0 });
  const elsewhere = new ImageError('NETWORK', 'x', { url: 'http://b.example/' });
  const busy = new ImageError('HTTP_STATUS', 'x', { url: `${origin}/x`, status: 503 });
  for (const error of [elsewhere, busy, refused, refused]) t.false(health.failed(origin, error, true));
  health.answered(origin);
  t.false(health.failed(origin, refused, true));
  t.notThrows(() => health.check(origin));
});

test('every few seconds one request may ask a dead host, and its answer brings it back', (t) => {
  let now = 0;
  const health = createHostHealth({ monotonic: () => now });
  for (let tries = 0; tries < 3; tries += 1) health.failed(origin, refused, true);
  t.throws(() => health.check(origin));
  now = 5_000;
  t.notThrows(() => health.check(origin));
  t.throws(() => health.check(origin), undefined, 'one only');
  health.answered(origin);
  t.notThrows(() => health.check(origin));
});

test('of many requests to a silent host only the first wait for it; once it answers all is well', async (t) => {
  const silent = await startRawServer(t, () => undefined);
  const http = openTestHttp(t, { retries: 2, timeouts: { connectMs: 5000, headersMs: 100, stallMs: 5000 } });
  const get = () => http.download({ url: silent.url, sink: memorySink() }, signal);
  t.true(hasCode(await t.throwsAsync(get()), 'TIMEOUT'));
  t.is(silent.requests.length, 3);
  for (let more = 0; more < 50; more += 1) t.true(hasCode(await t.throwsAsync(get()), 'TIMEOUT'));
  t.is(silent.requests.length, 3);
});

test('what failed while the server was away works once it is back', async (t) => {
  let now = 0;
  const server = await startServer(t, { '/a': { body: 'x' } });
  await server.close();
  const http = openTestHttp(t, { retries: 2 }, { ...hastyClock(), monotonic: () => now });
  const get = () => http.download({ url: `${server.url}/a`, sink: memorySink() }, signal);
  t.true(hasCode(await t.throwsAsync(get()), 'NETWORK'));
  t.regex((await t.throwsAsync(get())).message, /connection refused.*asked several times/);
  now = 6_000;
  const again = createServer((socket) => void socket.end('HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx'));
  again.listen(server.port, '127.0.0.1');
  t.teardown(() => void again.close());
  await t.notThrowsAsync(get());
  await t.notThrowsAsync(get());
});
