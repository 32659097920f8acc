import { randomBytes } from 'node:crypto';

import test from 'ava';

import { openTestHttp } from '../helpers/http.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { startServer } from '../helpers/server.ts';

const signal = AbortSignal.timeout(600_000);
const body = randomBytes(1000);
const etag = '"1"';

const lies: Readonly<Record<string, Record<string, string | string[]>>> = {
  'no Content-Range': {},
  'another start': { 'content-range': 'bytes 99-999/1000' },
  'the start of the file': { 'content-range': 'bytes 0-999/1000' },
  'another total': { 'content-range': 'bytes 100-1999/2000' },
  'an absurd Content-Range': { 'content-range': 'bytes 100-18446744073709551615/*' },
  'an end before the start': { 'content-range': 'bytes 100-99/1000' },
  'two Content-Ranges': { 'content-range': ['bytes 100-999/1000', 'bytes 101-999/1000'] },
  'another unit': { 'content-range': 'lines 100-999/1000' },
  'several parts': { 'content-type': 'multipart/byteranges; boundary=x' },
  'another ETag': { 'content-range': 'bytes 100-999/1000', etag: '"2"' },
  'the same ETag, but weak': { 'content-range': 'bytes 100-999/1000', etag: 'W/"1"' },
  'a length that disagrees': { 'content-range': 'bytes 100-999/1000', 'content-length': '800' },
};

for (const [what, headers] of Object.entries(lies)) {
  test(`a 206 with ${what} makes the download start over`, async (t) => {
    const server = await startServer(t, {
      '/a': {
        handler: (request, response) => {
          if (request.headers.range !== undefined) response.writeHead(206, headers).end(Buffer.alloc(800));
          else response.writeHead(200, { etag: '"3"', 'content-length': 1000 }).end(body);
        },
      },
    });
    const left = { bytes: randomBytes(100), validator: { kind: 'etag', value: etag } as const, total: 1000 };
    const sink = memorySink(left);
    const result = await openTestHttp(t).download({ url: `${server.url}/a`, sink }, signal);
    t.true(sink.content().equals(body));
    t.like(result, { responses: 1 });
    t.is(server.requests.length, 2);
  });
}

test('a 501 to a range makes the download start over, and no range is asked for again', async (t) => {
  const server = await startServer(t, {
    '/a': {
      handler: (request, response) => {
        if (request.headers.range !== undefined) response.writeHead(501).end();
        else if (server.requests.length > 2) response.writeHead(200, { etag, 'content-length': 1000 }).end(body);
        else response.writeHead(200, { etag, 'content-length': 1000 }).write(body.subarray(0, 500), () => server.cut());
      },
    },
  });
  const sink = memorySink({ bytes: randomBytes(100), validator: { kind: 'etag', value: etag }, total: 1000 });
  await openTestHttp(t).download({ url: `${server.url}/a`, sink }, signal);
  t.true(sink.content().equals(body));
  t.deepEqual(
    server.requests.map(({ headers }) => headers.range),
    ['bytes=100-', undefined, undefined],
  );
});

test('a 206 that goes on beyond its end makes the download start over', async (t) => {
  const server = await startServer(t, {
    '/a': {
      handler: (request, response) => {
        if (request.headers.range === undefined) response.writeHead(200, { etag: '"3"' }).end(body);
        else response.writeHead(206, { 'content-range': 'bytes 100-999/1000' }).end(Buffer.alloc(2000));
      },
    },
  });
  const sink = memorySink({ bytes: randomBytes(100), validator: { kind: 'etag', value: etag }, total: 1000 });
  await openTestHttp(t).download({ url: `${server.url}/a`, sink }, signal);
  t.true(sink.content().equals(body));
});

test('a 206 with only a part of the rest is accepted, and the next part is requested', async (t) => {
  const server = await startServer(t, {
    '/a': {
      handler: (request, response) => {
        const start = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0);
        const end = Math.min(start + 300, 1000);
        const headers = { 'content-range': `bytes ${start}-${end - 1}/1000`, etag };
        response.writeHead(206, headers).end(body.subarray(start, end));
      },
    },
  });
  const sink = memorySink({ bytes: body.subarray(0, 100), validator: { kind: 'etag', value: etag }, total: 1000 });
  t.like(await openTestHttp(t).download({ url: `${server.url}/a`, sink }, signal), { responses: 4 });
  t.true(sink.content().equals(body));
});

test('a server that answers 416 to everything is asked twice', async (t) => {
  const server = await startServer(t, {
    '/a': { handler: (_, response) => void response.writeHead(416, { 'content-range': 'bytes */7' }).end() },
  });
  const sink = memorySink({ bytes: body.subarray(0, 100), validator: { kind: 'etag', value: etag }, total: 1000 });
  await t.throwsAsync(openTestHttp(t).download({ url: `${server.url}/a`, sink }, signal), { code: 'HTTP_STATUS' });
  t.is(server.requests.length, 2);
  t.is(sink.bytes, 100);
});
