import { randomBytes } from 'node:crypto';

import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { openTestHttp } from '../helpers/http.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { startServer } from '../helpers/server.ts';

const signal = AbortSignal.timeout(600_000);
const body = randomBytes(700_000);
const etag = '"1"';

test('a body is downloaded whole, with its freshness', async (t) => {
  const headers = { 'cache-control': 'max-age=60' };
  const server = await startServer(t, { '/a': { body, etag, headers } });
  const sink = memorySink();
  const started: unknown[] = [];
  const progress: number[] = [];
  const result = await openTestHttp(t).download(
    {
      url: `${server.url}/a`,
      sink,
      onStart: (start) => void started.push(start),
      onProgress: (bytes) => progress.push(bytes),
    },
    signal,
  );
  t.deepEqual(result, {
    kind: 'complete',
    bytes: body.byteLength,
    transferred: body.byteLength,
    responses: 1,
    freshness: { etag, maxAgeMs: 60_000 },
  });
  t.true(sink.content().equals(body));
  t.deepEqual(sink.validator, { kind: 'etag', value: etag });
  t.is(sink.total, body.byteLength);
  t.deepEqual(started, [{ total: body.byteLength, resumedFrom: 0 }]);
  t.is(progress.at(-1), body.byteLength);
});

test('the bytes on the wire are the file, whatever encoding the server claims', async (t) => {
  const server = await startServer(t, { '/a': { body, headers: { 'content-encoding': 'gzip' } } });
  const sink = memorySink();
  await openTestHttp(t).download({ url: `${server.url}/a`, sink }, signal);
  t.true(sink.content().equals(body));
  t.is(server.requests[0]?.headers['accept-encoding'], 'identity');
  t.is(server.requests[0]?.headers['user-agent'], 'test/1');
});

test('a body without a length is downloaded too', async (t) => {
  const server = await startServer(t, { '/a': { body, chunked: true } });
  const sink = memorySink();
  const result = await openTestHttp(t).download({ url: `${server.url}/a`, sink }, signal);
  t.is(result.kind, 'complete');
  t.is(sink.total, undefined);
  t.true(sink.content().equals(body));
});

test('an empty body is a whole one', async (t) => {
  const server = await startServer(t, { '/a': { body: '' } });
  const result = await openTestHttp(t).download({ url: `${server.url}/a`, sink: memorySink() }, signal);
  t.like(result, { kind: 'complete', bytes: 0 });
});

test('a known and unchanged body is not sent again, and a 304 updates the freshness', async (t) => {
  const lastModified = 'Tue, 01 Jul 2025 10:00:00 GMT';
  const server = await startServer(t, {
    '/a': { body, etag, lastModified, headers: { 'cache-control': 'max-age=5' } },
  });
  const http = openTestHttp(t);
  const url = `${server.url}/a`;
  const known = { etag, lastModified };
  t.deepEqual(await http.download({ url, sink: memorySink(), known }, signal), {
    kind: 'not-modified',
    freshness: { etag, lastModified, maxAgeMs: 5000 },
  });
  t.is(server.requests[0]?.headers['if-none-match'], etag);
  const sink = memorySink();
  t.like(await http.download({ url, sink, known: { etag: '"0"' } }, signal), { kind: 'complete' });
  t.true(sink.content().equals(body));
});

test('a partial file with a validator is completed by requesting only the rest', async (t) => {
  const server = await startServer(t, { '/a': { body, etag } });
  const validator = { kind: 'etag', value: etag } as const;
  const sink = memorySink({ bytes: body.subarray(0, 1000), validator, total: body.byteLength });
  const started: unknown[] = [];
  const result = await openTestHttp(t).download(
    { url: `${server.url}/a`, sink, onStart: (start) => void started.push(start), known: { etag: '"0"' } },
    signal,
  );
  t.like(result, { kind: 'complete', transferred: body.byteLength - 1000, responses: 2 });
  t.true(sink.content().equals(body));
  t.is(sink.restarts, 0);
  t.like(server.requests[0]?.headers, { range: 'bytes=1000-', 'if-range': etag, 'if-none-match': undefined });
  t.deepEqual(started, [{ total: body.byteLength, resumedFrom: 1000 }]);
});

test('a partial file without an ETag is completed with an old Last-Modified', async (t) => {
  const lastModified = 'Tue, 01 Jul 2025 10:00:00 GMT';
  const server = await startServer(t, { '/a': { body, lastModified, cutAfter: 300_000 } });
  const sink = memorySink();
  const url = `${server.url}/a`;
  const first = new AbortController();
  const onRetry = () => first.abort(new Error('stop'));
  const stopped = openTestHttp(t).download({ url, sink, observer: { onRetry } }, first.signal);
  await t.throwsAsync(stopped, { message: 'stop' });
  t.true(sink.bytes > 0);
  t.deepEqual(sink.validator, { kind: 'last-modified', value: lastModified });
  server.routes['/a'] = { body, lastModified };
  await openTestHttp(t).download({ url, sink }, signal);
  t.true(sink.content().equals(body));
  t.is(server.requests.at(-1)?.headers['if-range'], lastModified);
});

for (const [what, route] of Object.entries({
  'a weak ETag': { etag: 'W/"1"', lastModified: 'Tue, 01 Jul 2025 10:00:00 GMT' },
  'no validator': {},
  'a Last-Modified as young as the answer': { lastModified: new Date(Date.now() + 3_600_000).toUTCString() },
})) {
  test(`${what} is no ground to resume: the next try takes everything`, async (t) => {
    const server = await startServer(t, { '/a': { body, ...route, cutAfter: 300_000 } });
    const sink = memorySink();
    const url = `${server.url}/a`;
    const onRetry = () => void (server.routes['/a'] = { body, ...route });
    await openTestHttp(t).download({ url, sink, observer: { onRetry } }, signal);
    t.true(sink.content().equals(body));
    t.is(server.requests.at(-1)?.headers.range, undefined);
    t.is(sink.restarts, 2);
  });
}

test('an immutable body is resumed without a validator', async (t) => {
  const server = await startServer(t, { '/a': { body, etag: 'W/"1"' } });
  const sink = memorySink({ bytes: body.subarray(0, 1000) });
  await openTestHttp(t).download({ url: `${server.url}/a`, sink, immutable: true }, signal);
  t.true(sink.content().equals(body));
  t.like(server.requests[0]?.headers, { range: 'bytes=1000-', 'if-range': undefined });
});

test('an immutable body is resumed from a server that names its version differently', async (t) => {
  const server = await startServer(t, { '/a': { body, etag: '"2"', cutAfter: 300_000 } });
  const validator = { kind: 'etag', value: '"1"' } as const;
  const sink = memorySink({ bytes: body.subarray(0, 1000), validator, total: body.byteLength });
  const onRetry = () => void (server.routes['/a'] = { body, etag: '"3"' });
  const observer = { onRetry };
  const result = await openTestHttp(t).download({ url: `${server.url}/a`, sink, immutable: true, observer }, signal);
  t.like(result, { transferred: body.byteLength - 1000, responses: 3 });
  t.true(sink.content().equals(body));
});

test('a changed file is downloaded from the start', async (t) => {
  const server = await startServer(t, { '/a': { body, etag: '"2"' } });
  const validator = { kind: 'etag', value: etag } as const;
  const sink = memorySink({ bytes: randomBytes(1000), validator, total: 5000 });
  const result = await openTestHttp(t).download({ url: `${server.url}/a`, sink }, signal);
  t.like(result, { responses: 1, transferred: body.byteLength });
  t.true(sink.content().equals(body));
  t.deepEqual(sink.validator, { kind: 'etag', value: '"2"' });
});

test('a partial file that has all bytes is complete', async (t) => {
  const server = await startServer(t, { '/a': { body, etag } });
  const sink = memorySink({ bytes: body, validator: { kind: 'etag', value: etag }, total: body.byteLength });
  const result = await openTestHttp(t).download({ url: `${server.url}/a`, sink }, signal);
  t.like(result, { kind: 'complete', bytes: body.byteLength, transferred: 0, responses: 2 });
});

test('a file that has become shorter is downloaded from the start', async (t) => {
  const short = randomBytes(500);
  const handler = startServer(t, {
    '/a': {
      handler: ({ headers }, response) => {
        const isRange = headers.range !== undefined;
        response.writeHead(isRange ? 416 : 200, isRange ? { 'content-range': 'bytes */500' } : {});
        response.end(isRange ? '' : short);
      },
    },
  });
  const { url } = await handler;
  const sink = memorySink({ bytes: randomBytes(1000), validator: { kind: 'etag', value: etag }, total: 5000 });
  await openTestHttp(t).download({ url: `${url}/a`, sink }, signal);
  t.true(sink.content().equals(short));
});

for (const status of [201, 202, 203, 204, 206, 304, 416]) {
  test(`${status} is no answer to the request for a whole image`, async (t) => {
    const server = await startServer(t, { '/a': { status, headers: { 'content-range': 'bytes 0-1/2' } } });
    const error = await t.throwsAsync(openTestHttp(t).download({ url: `${server.url}/a`, sink: memorySink() }, signal));
    t.true(hasCode(error, 'HTTP_STATUS'));
    t.like(error, { details: { status, url: `${server.url}/a` } });
    t.is(server.requests.length, 1);
  });
}

test('a body over the limit is refused by its length, and a body without a length at the limit', async (t) => {
  const server = await startServer(t, { '/a': { body }, '/b': { body, chunked: true } });
  const limits = { archiveBytes: 100_000, redirects: 10, retryAfterMs: 0 };
  const http = openTestHttp(t, { limits });
  for (const [path, most] of [
    ['/a', 0],
    ['/b', 100_000],
  ] as const) {
    const sink = memorySink();
    const error = await t.throwsAsync(http.download({ url: server.url + path, sink }, signal));
    t.true(hasCode(error, 'LIMIT_EXCEEDED'));
    t.like(error, { details: { limit: 'archive', maximum: 100_000 } });
    t.true(sink.bytes <= most);
  }
  t.is(server.requests.length, 2);
});

test('an abort rejects with its reason and leaves a partial file that can be resumed', async (t) => {
  const server = await startServer(t, { '/a': { body, etag, rate: 300_000 } });
  const sink = memorySink();
  const url = `${server.url}/a`;
  const reason = new Error('enough');
  const stop = new AbortController();
  const promise = openTestHttp(t).download(
    { url, sink, onProgress: (bytes) => bytes > 20_000 && stop.abort(reason) },
    stop.signal,
  );
  t.is(await t.throwsAsync(promise), reason);
  t.true(sink.bytes > 0 && sink.bytes < body.byteLength);
  server.routes['/a'] = { body, etag };
  await openTestHttp(t).download({ url, sink }, signal);
  t.true(sink.content().equals(body));
});

test('a sink that fails ends the download with its error', async (t) => {
  const server = await startServer(t, { '/a': { body, etag } });
  const full = new Error('disk full');
  const sink = { ...memorySink(), append: () => Promise.reject(full) };
  t.is(await t.throwsAsync(openTestHttp(t).download({ url: `${server.url}/a`, sink }, signal)), full);
  t.is(server.requests.length, 1);
});
