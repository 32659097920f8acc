import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { gzipSync } from 'node:zlib';

import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { openTestHttp } from '../helpers/http.ts';
import { startRawServer } from '../helpers/raw-server.ts';
import { startServer } from '../helpers/server.ts';

const signal = AbortSignal.timeout(600_000);
const limit = { name: 'signature', bytes: 1000 };

test('a document is returned whole, with an accepted status', async (t) => {
  const server = await startServer(t, { '/a': { status: 202, body: 'later', headers: { 'x-y': 'z' } } });
  const http = openTestHttp(t);
  const { status, headers, body } = await http.getDocument(
    { url: `${server.url}/a`, limit, statuses: [200, 202] },
    signal,
  );
  t.deepEqual([status, headers['x-y'], Buffer.from(body).toString()], [202, 'z', 'later']);
});

test('a small document shares its memory with nothing: a thread that gets it would get all of that', async (t) => {
  const server = await startServer(t, { '/a': { body: 'signed' } });
  const { body } = await openTestHttp(t).getDocument({ url: `${server.url}/a`, limit, statuses: [200] }, signal);
  t.deepEqual([body.byteLength, body.buffer.byteLength], [6, 6]);
});

test('a status that is not accepted is an error that names it', async (t) => {
  const server = await startServer(t, { '/a': { status: 403, body: 'no' } });
  const error = await t.throwsAsync(
    openTestHttp(t).getDocument({ url: `${server.url}/a?k=v`, limit, statuses: [200] }, signal),
  );
  t.like(error, { code: 'HTTP_STATUS', details: { status: 403, url: `${server.url}/a` } });
  t.is(server.requests.length, 1);
});

test('HEAD returns headers and no body, whatever Content-Length says', async (t) => {
  const server = await startServer(t, {
    'HEAD /a': { body: 'x'.repeat(5000), headers: { 'docker-content-digest': 'd' } },
  });
  const request = { method: 'HEAD', url: `${server.url}/a`, limit, statuses: [200] } as const;
  const { headers, body } = await openTestHttp(t).getDocument(request, signal);
  t.is(headers['docker-content-digest'], 'd');
  t.is(body.byteLength, 0);
});

test('a document over the limit is refused by its length, or while it is read', async (t) => {
  const body = 'x'.repeat(1001);
  const server = await startServer(t, { '/a': { body }, '/b': { body, chunked: true } });
  for (const path of ['/a', '/b']) {
    const error = await t.throwsAsync(
      openTestHttp(t).getDocument({ url: server.url + path, limit, statuses: [200] }, signal),
    );
    t.true(hasCode(error, 'LIMIT_EXCEEDED'));
    t.like(error, { details: { limit: 'signature', maximum: 1000 } });
  }
  t.is(server.requests.length, 2);
});

test('an endless document is refused at the limit', async (t) => {
  const server = await startRawServer(t, (socket) => {
    socket.write('HTTP/1.0 200 OK\r\n\r\n');
    const more = () => socket.destroyed || socket.write(Buffer.alloc(500), () => setImmediate(more));
    more();
  });
  const promise = openTestHttp(t).getDocument({ url: server.url, limit, statuses: [200] }, signal);
  t.true(hasCode(await t.throwsAsync(promise), 'LIMIT_EXCEEDED'));
});

test('a document that breaks off is requested again, as often as the retries allow', async (t) => {
  const server = await startServer(t, { '/a': { body: 'x'.repeat(100), cutAfter: 50 } });
  const request = { url: `${server.url}/a`, limit, statuses: [200], retries: 1 };
  const error = await t.throwsAsync(openTestHttp(t).getDocument(request, signal));
  t.true(hasCode(error, 'LENGTH_MISMATCH') || hasCode(error, 'NETWORK'));
  t.is(server.requests.length, 2);
});

test('connections are used again, also after answers that were not read', async (t) => {
  const ports = new Set<number | undefined>();
  const server = await startServer(t, {
    '/a': {
      handler: ({ socket }, response) => {
        ports.add(socket.remotePort);
        response.writeHead(404, { 'content-length': 3 }).end('no!');
      },
    },
  });
  const http = openTestHttp(t);
  for (let n = 0; n < 5; n += 1) {
    await t.throwsAsync(http.getDocument({ url: `${server.url}/a`, limit, statuses: [200] }, signal));
  }
  t.true(ports.size <= 2); // a connection takes a turn of the event loop to become free
});

test('a connection is used again after a HEAD; a server that sends a body all the same does no harm', async (t) => {
  const ports = new Set<number | undefined>();
  const server = await startRawServer(t, (socket, head) => {
    ports.add(socket.remotePort);
    const body = head.startsWith('HEAD /with-body ') ? 'HTTP/1.1 418 I am\r\n' : '';
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 19\r\n\r\n${body}`);
  });
  const http = openTestHttp(t);
  const head = async (path: string): Promise<void> => {
    const asked = { method: 'HEAD', url: `${server.url}${path}`, limit, statuses: [200], retries: 0 } as const;
    t.is((await http.getDocument(asked, signal)).status, 200);
  };
  for (let n = 0; n < 5; n += 1) await head('/a');
  t.true(ports.size <= 2);
  for (let n = 0; n < 5; n += 1) await head('/with-body');
});

test('an unread answer that does not end is aborted', async (t) => {
  let closed: Promise<unknown> | undefined;
  const server = await startRawServer(t, (socket) => {
    closed = once(socket, 'close');
    socket.write('HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n');
  });
  const http = openTestHttp(t);
  await t.throwsAsync(http.getDocument({ url: server.url, limit, statuses: [200] }, signal), { code: 'HTTP_STATUS' });
  await t.notThrowsAsync(closed ?? Promise.reject(new Error('no connection')));
});

test('a document coded with gzip is decoded on request, within the limit', async (t) => {
  const body = Buffer.from('x'.repeat(1000));
  const large = Buffer.from('x'.repeat(1001));
  const noise = randomBytes(1000);
  const gzip = { 'content-encoding': 'gzip' };
  const server = await startServer(t, {
    '/gzip': { body: gzipSync(body), headers: gzip },
    '/old-name': { body: gzipSync(body), headers: { 'content-encoding': 'X-GZIP' } },
    '/identity': { body, headers: { 'content-encoding': 'identity' } },
    '/larger-coded': { body: gzipSync(noise), headers: gzip },
    '/large': { body: gzipSync(large), headers: gzip },
    '/endless': { body: gzipSync(Buffer.alloc(1_000_000)), headers: gzip },
    '/not': { body, headers: gzip },
    '/cut': { body: gzipSync(body).subarray(0, -4), headers: gzip },
    '/br': { body, headers: { 'content-encoding': 'br' } },
  });
  const http = openTestHttp(t);
  const get = (path: string) =>
    http.getDocument({ url: server.url + path, limit, statuses: [200], decodes: true }, signal);
  for (const path of ['/gzip', '/old-name', '/identity']) t.true(Buffer.from((await get(path)).body).equals(body));
  t.true(Buffer.from((await get('/larger-coded')).body).equals(noise));
  for (const path of ['/large', '/endless']) {
    t.like(await t.throwsAsync(get(path)), { code: 'LIMIT_EXCEEDED', details: { limit: 'signature', maximum: 1000 } });
  }
  for (const path of ['/not', '/cut']) {
    t.like(await t.throwsAsync(get(path)), {
      code: 'RESPONSE_INVALID',
      message: 'the answer is declared as coded with gzip, but is not',
    });
  }
  t.like(await t.throwsAsync(get('/br')), { message: 'the answer is coded as br, which was not requested' });
  const plain = await http.getDocument({ url: `${server.url}/gzip`, limit, statuses: [200] }, signal);
  t.deepEqual(Buffer.from(plain.body), gzipSync(body));
});

test('the error for a host reached by a redirect names both hosts, without a query', async (t) => {
  const bucket = await startServer(t, { '/key': { status: 403, body: 'expired' } });
  const server = await startServer(t, { '/a': { status: 307, headers: { location: `${bucket.url}/key?secret` } } });
  const error = await t.throwsAsync(
    openTestHttp(t).getDocument({ url: `${server.url}/a`, limit, statuses: [200] }, signal),
  );
  const [there, here] = [new URL(bucket.url).host, new URL(server.url).host];
  t.is(error?.message, `${there}, to which ${here} leads, answered 403`);
  t.like(error, { details: { url: `${bucket.url}/key`, status: 403, redirectedFrom: here, takesNoCredentials: true } });
});
