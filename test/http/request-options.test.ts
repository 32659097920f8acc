import { text } from 'node:stream/consumers';

import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import type { Refusal } from '../../src/http/contract.ts';
import { openTestHttp } from '../helpers/http.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { startServer } from '../helpers/server.ts';

const signal = AbortSignal.timeout(600_000);
const limit = { name: 'page', bytes: 1000 };
const page = (url: string) => ({ url, limit, statuses: [200] });
const to = (location: string, status = 302) => ({ status, headers: { location } });

test('a request with its own credentials does not send those of the options', async (t) => {
  const server = await startServer(t, { '/a': { body: 'yes' } }, { https: true });
  const http = openTestHttp(t, { ca: [server.ca], credentials: () => ({ authorization: 'Bearer configured' }) });
  await http.getDocument({ ...page(`${server.url}/a`), ownCredentials: true }, signal);
  await http.download({ url: `${server.url}/a`, sink: memorySink(), ownCredentials: true }, signal);
  const headers = { authorization: 'Bearer own' };
  await http.getDocument({ ...page(`${server.url}/a`), ownCredentials: true, headers }, signal);
  t.deepEqual(
    server.requests.map((request) => request.headers.authorization),
    [undefined, undefined, 'Bearer own'],
  );
});

test('a POST sends its content, and its answer is read within the limit', async (t) => {
  const bodies: string[] = [];
  const handler = async (request: Parameters<typeof text>[0], response: { end(body: string): unknown }) => {
    bodies.push(await text(request));
    response.end('x'.repeat(bodies.length * 600));
  };
  const server = await startServer(t, { 'POST /a': { handler } });
  const http = openTestHttp(t);
  const request = { ...page(`${server.url}/a`), method: 'POST', content: 'a=1&b=2' } as const;
  t.is((await http.getDocument(request, signal)).body.byteLength, 600);
  t.true(hasCode(await t.throwsAsync(http.getDocument(request, signal)), 'LIMIT_EXCEEDED'));
  t.deepEqual(bodies, ['a=1&b=2', 'a=1&b=2']);
});

test('a request may be limited to redirects of its origin, or to none', async (t) => {
  const other = await startServer(t, { '/b': { body: 'other' } });
  const server = await startServer(t, { '/a': to('/b'), '/b': { body: 'own' }, '/out': to(`${other.url}/b`) });
  const http = openTestHttp(t);
  const ask = (path: string, redirects: 'same-origin' | 'none') =>
    http.getDocument({ ...page(server.url + path), redirects }, signal);
  t.is(Buffer.from((await ask('/a', 'same-origin')).body).toString(), 'own');
  t.true(hasCode(await t.throwsAsync(ask('/out', 'same-origin')), 'REDIRECT_REFUSED'));
  t.true(hasCode(await t.throwsAsync(ask('/a', 'none')), 'REDIRECT_REFUSED'));
  t.is(other.requests.length, 0);
});

test('a refusal is passed to the caller, with its body cut at 16 KiB', async (t) => {
  const server = await startServer(t, {
    '/a': { status: 403, body: 'x'.repeat(100_000), headers: { 'www-authenticate': 'Basic' } },
  });
  const seen: Refusal[] = [];
  const onRefusal = (refusal: Refusal) => {
    seen.push(refusal);
    return 'not you';
  };
  const http = openTestHttp(t);
  const errors = [
    await t.throwsAsync(http.getDocument({ ...page(`${server.url}/a?q`), onRefusal }, signal)),
    await t.throwsAsync(http.download({ url: `${server.url}/a?q`, sink: memorySink(), onRefusal }, signal)),
  ];
  t.deepEqual(
    errors.map((error) => error?.message),
    Array(2).fill('the server answered 403: not you'),
  );
  t.deepEqual(
    seen.map(({ url, status, headers, body }) => [url, status, headers['www-authenticate'], body.byteLength]),
    Array(2).fill([`${server.url}/a?q`, 403, 'Basic', 16_384]),
  );
});

test('a body whose size is known in advance is refused if its length is another', async (t) => {
  const server = await startServer(t, { '/a': { body: 'abcdef' } });
  const sink = memorySink();
  for (const size of [5, 7]) {
    const error = await t.throwsAsync(openTestHttp(t).download({ url: `${server.url}/a`, sink, size }, signal));
    t.like(error, { code: 'SIZE_MISMATCH', details: { asked: size, found: 6 } });
  }
  t.is(sink.bytes, 0);
  t.is(server.requests.length, 2);
});

test('a body without a length is read up to the known size, and no further', async (t) => {
  const server = await startServer(t, { '/a': { body: Buffer.alloc(4_000_000), chunked: true } });
  const sink = memorySink();
  const download = openTestHttp(t).download({ url: `${server.url}/a`, sink, size: 1000 }, signal);
  t.true(hasCode(await t.throwsAsync(download), 'SIZE_MISMATCH'));
  t.true(sink.bytes <= 1000);
});

test('a body without a length that ends before the known size is resumed', async (t) => {
  let requests = 0;
  const server = await startServer(t, {
    '/a': {
      handler: ({ headers }, response) => {
        requests += 1;
        if (headers.range === undefined) {
          response.write('abc');
          response.end();
          return;
        }
        response.writeHead(206, { 'content-range': 'bytes 3-5/6' }).end('def');
      },
    },
  });
  const sink = memorySink();
  await openTestHttp(t).download({ url: `${server.url}/a`, sink, size: 6, immutable: true }, signal);
  t.is(sink.content().toString(), 'abcdef');
  t.is(requests, 2);
});
