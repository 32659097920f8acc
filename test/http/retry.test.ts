import test from 'ava';

import { hasCode, ImageError } from '../../src/errors.ts';
import { decideRetry, parseRetryAfter } from '../../src/http/retry.ts';
import { hastyClock, openTestHttp } from '../helpers/http.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { startServer } from '../helpers/server.ts';

const signal = AbortSignal.timeout(600_000);
const policy = { retries: 4, retryAfterMs: 300_000, random: () => 0.5 };
const url = 'http://a.example/';
const status = (code: number, retryAfterMs?: number) =>
  new ImageError('HTTP_STATUS', 'x', { url, status: code, ...(retryAfterMs !== undefined && { retryAfterMs }) });

test('waits are 0.5, 1, 2 and 4 seconds, then no more', (t) => {
  const error = status(503);
  const decisions = [1, 2, 3, 4, 5].map((attempt) => decideRetry(policy, attempt, error));
  t.deepEqual(decisions, [
    { kind: 'wait', delayMs: 500 },
    { kind: 'wait', delayMs: 1000 },
    { kind: 'wait', delayMs: 2000 },
    { kind: 'wait', delayMs: 4000 },
    { kind: 'give-up', error },
  ]);
});

test('a wait varies randomly by up to a fifth, and is never longer than 36 s', (t) => {
  const wait = (attempt: number, chance: number) =>
    decideRetry({ ...policy, retries: 100, random: () => chance }, attempt, status(500));
  t.deepEqual(wait(1, 0), { kind: 'wait', delayMs: 400 });
  t.deepEqual(wait(1, 1), { kind: 'wait', delayMs: 600 });
  t.deepEqual(wait(100, 1), { kind: 'wait', delayMs: 36_000 });
});

for (const code of [408, 425, 429, 500, 502, 503, 504, 599]) {
  test(`${code} may pass`, (t) => t.is(decideRetry(policy, 1, status(code)).kind, 'wait'));
}

test('a retry is reported with the status and the host that answered', async (t) => {
  const other = await startServer(t, { '/b': { status: 429 } });
  const server = await startServer(t, {
    '/a': { status: 302, headers: { location: `http://localhost:${other.port}/b` } },
  });
  const retries: unknown[] = [];
  const observer = { onRetry: (retry: object) => retries.push(retry) };
  const http = openTestHttp(t, { retries: 1 });
  await t.throwsAsync(
    http.getDocument({ url: `${server.url}/a`, limit: { name: 'page', bytes: 9 }, statuses: [200], observer }, signal),
    { code: 'RATE_LIMITED' },
  );
  t.like(retries, [{ code: 'HTTP_STATUS', status: 429, url: `http://localhost:${other.port}/b`, attempt: 1 }]);
});

for (const code of [201, 202, 206, 304, 400, 401, 403, 404, 407, 410, 416]) {
  test(`${code} is final`, (t) => t.is(decideRetry(policy, 1, status(code)).kind, 'give-up'));
}

test('failures of connections are tried again; other answers of a server and bugs are final', (t) => {
  const passing = [
    new ImageError('NETWORK', 'x', { url }),
    new ImageError('TIMEOUT', 'x', { url, waitedMs: 1 }),
    new ImageError('STALLED', 'x', { url, bytes: 1 }),
    new ImageError('LENGTH_MISMATCH', 'x', { url, expected: 2, received: 1 }),
  ];
  const final = [
    new ImageError('TLS', 'x', { url }),
    new ImageError('RESPONSE_INVALID', 'x', { url }),
    new ImageError('LIMIT_EXCEEDED', 'x', { limit: 'archive', maximum: 1 }),
    new ImageError('REDIRECT_REFUSED', 'x', { from: url }),
    new ImageError('STORE_FULL', 'x', { path: '/' }),
    new TypeError('x'),
  ];
  for (const error of passing) t.is(decideRetry(policy, 1, error).kind, 'wait', error.code);
  for (const error of final) t.is(decideRetry(policy, 1, error).kind, 'give-up', `${error}`);
});

test('Retry-After is honoured in full, up to the limit', (t) => {
  t.deepEqual(decideRetry(policy, 1, status(503, 300_000)), { kind: 'wait', delayMs: 300_000 });
  t.deepEqual(decideRetry(policy, 1, status(429, 0)), { kind: 'wait', delayMs: 0 });
  for (const code of [429, 503]) {
    const decision = decideRetry(policy, 1, status(code, 300_001));
    t.like(decision, { kind: 'give-up', error: { code: 'RATE_LIMITED', details: { url, retryAfterMs: 300_001 } } });
  }
});

test('429 in every try is RATE_LIMITED', (t) => {
  t.like(decideRetry(policy, 5, status(429)), { kind: 'give-up', error: { code: 'RATE_LIMITED', details: { url } } });
});

test('Retry-After is seconds or an HTTP date; any other value counts as absent', (t) => {
  const now = Date.parse('2025-07-01T10:00:00Z');
  const cases: readonly [string | undefined, number | undefined][] = [
    ['0', 0],
    ['120', 120_000],
    [' 1 ', 1000],
    ['Tue, 01 Jul 2025 10:00:30 GMT', 30_000],
    ['Tue, 01 Jul 2025 09:00:00 GMT', 0],
    ['tomorrow', undefined],
    ['-1', undefined],
    ['1.5', undefined],
    ['9'.repeat(40), undefined],
    ['', undefined],
    [undefined, undefined],
  ];
  for (const [text, ms] of cases) t.is(parseRetryAfter(text, now), ms, text);
});

test('a server that is busy twice is asked three times, after the waits that it asks for', async (t) => {
  let count = 0;
  const server = await startServer(t, {
    '/a': {
      handler: (_, response) => {
        count += 1;
        if (count > 2) response.writeHead(200).end('yes');
        else response.writeHead(503, count === 1 ? { 'retry-after': '7' } : {}).end();
      },
    },
  });
  const clock = hastyClock();
  const told: unknown[] = [];
  const observer = { onRetry: (retry: unknown) => void told.push(retry) };
  const sink = memorySink();
  await openTestHttp(t, {}, clock).download({ url: `${server.url}/a?x`, sink, observer }, signal);
  t.is(sink.content().toString(), 'yes');
  t.deepEqual(clock.slept, [7000, 1000]);
  const retry = { url: `${server.url}/a`, code: 'HTTP_STATUS', status: 503 };
  t.deepEqual(told, [
    { ...retry, attempt: 1, delayMs: 7000 },
    { ...retry, attempt: 2, delayMs: 1000 },
  ]);
});

test('a 404 gets one try, a 500 five, and a Retry-After of a day one', async (t) => {
  const headers = { 'retry-after': '86400' };
  const server = await startServer(t, { '/500': { status: 500 }, '/429': { status: 429, headers } });
  const http = openTestHttp(t);
  const get = (path: string) => http.download({ url: server.url + path, sink: memorySink() }, signal);
  t.like(await t.throwsAsync(get('/404')), { code: 'HTTP_STATUS', details: { status: 404 } });
  t.like(await t.throwsAsync(get('/500')), { code: 'HTTP_STATUS', details: { status: 500 } });
  const error = await t.throwsAsync(get('/429'));
  t.true(hasCode(error, 'RATE_LIMITED'));
  t.like(error, { details: { retryAfterMs: 86_400_000 } });
  t.regex(error.message, /86400 s/);
  t.deepEqual(
    server.requests.map(({ url: path }) => path),
    ['/404', '/500', '/500', '/500', '/500', '/500', '/429'],
  );
});
