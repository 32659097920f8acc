import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { openTestHttp } from '../helpers/http.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { startRawServer } from '../helpers/raw-server.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const signal = AbortSignal.timeout(600_000);
const limit = { name: 'page', bytes: 1000 };
const page = (url: string) => ({ url, limit, statuses: [200] });
const to = (location: string, status = 302) => ({ status, headers: { location } });
const authorizations = ({ requests }: TestServer) => requests.map(({ headers }) => headers.authorization);

for (const status of [301, 302, 303, 307, 308]) {
  test(`${status} is followed, and the answer names the last URL`, async (t) => {
    const server = await startServer(t, { '/a': to('b?c#d', status), '/b': { body: 'yes' } });
    const { url, body } = await openTestHttp(t).getDocument(page(`${server.url}/a`), signal);
    t.is(url, `${server.url}/b?c`);
    t.is(Buffer.from(body).toString(), 'yes');
  });
}

test('a URL is sent as it was written: by the caller, by a redirect, and through a proxy', async (t) => {
  const signed = `/a?name='x'&sig="<a|b>"%27{`;
  const raw = await startRawServer(t, (socket, head) => {
    const isLast = head.includes('/last');
    const location = isLast ? '' : `location: /last?t='\r\n`;
    socket.write(`HTTP/1.1 ${isLast ? 200 : 302} x\r\n${location}content-length: 0\r\n\r\n`);
  });
  for (const proxy of [{}, { http: raw.url }]) {
    const http = openTestHttp(t, { proxy });
    const { url } = await http.getDocument(page(raw.url + signed), signal);
    t.is(url, `${raw.url}/last?t='`);
    const asked = raw.requests.slice(-2).map((head) => head.split(' ')[1]);
    const before = 'http' in proxy ? raw.url : '';
    t.deepEqual(asked, [before + signed, `${before}/last?t='`]);
  }
});

test('non-ASCII bytes of a redirect are percent-encoded one by one, whether UTF-8 or not', async (t) => {
  const raw = await startRawServer(t, (socket, head) => {
    const [, to] = /^GET \/(utf-8|latin1) /.exec(head) ?? [];
    const place = { 'utf-8': '2fc3a92e616369 3f713d e282ac', latin1: '2fe92e616369 3f713d 27e9' }[to ?? ''] ?? '';
    const location = Buffer.from(place.replaceAll(' ', ''), 'hex').toString('latin1');
    const status = to === undefined ? '200 OK' : `302 Found\r\nlocation: ${location}`;
    socket.write(`HTTP/1.1 ${status}\r\ncontent-length: 0\r\n\r\n`, 'latin1');
  });
  for (const [from, target] of [
    ['utf-8', '/%C3%A9.aci?q=%E2%82%AC'],
    ['latin1', "/%E9.aci?q='%E9"],
  ]) {
    const { url } = await openTestHttp(t).getDocument(page(`${raw.url}/${from}`), signal);
    t.is(url, raw.url + target);
    t.is(raw.requests.at(-1)?.split(' ')[1], target);
  }
});

test('a redirect to a host in UTF-8 is followed', async (t) => {
  const location = Buffer.from('http://bücher.invalid/a').toString('latin1');
  const raw = await startRawServer(t, (socket) => {
    socket.write(`HTTP/1.1 302 Found\r\nlocation: ${location}\r\ncontent-length: 0\r\n\r\n`, 'latin1');
  });
  const http = openTestHttp(t, { proxy: { http: raw.url } });
  const error = await t.throwsAsync(http.getDocument(page(`${raw.url}/a`), signal));
  t.like(error, { details: { to: 'http://xn--bcher-kva.invalid/a' } });
});

test('ten redirects are followed, eleven are not', async (t) => {
  const routes = Object.fromEntries(Array.from({ length: 11 }, (_, n) => [`/${n}`, to(`/${n + 1}`)]));
  const server = await startServer(t, { ...routes, '/11': { body: 'far' } });
  const http = openTestHttp(t);
  t.is((await http.getDocument(page(`${server.url}/1`), signal)).status, 200);
  const before = server.requests.length;
  const error = await t.throwsAsync(http.getDocument(page(`${server.url}/0`), signal));
  t.true(hasCode(error, 'REDIRECT_REFUSED'));
  t.is(server.requests.length - before, 11);
});

const refusals: Readonly<Record<string, (server: TestServer) => { status: number; headers?: Record<string, string> }>> =
  {
    'to file:': () => to('file:///etc/passwd'),
    'to data:': () => to('data:,x'),
    'to javascript:': () => to('javascript:1'),
    'with a user and a password': ({ port }) => to(`http://user:pass@127.0.0.1:${port}/b`),
    'with a user': ({ port }) => to(`http://user@127.0.0.1:${port}/b`),
    'to itself': () => to('/a'),
    'to itself, with a fragment': () => to('/a#1'),
    'to nothing that is a URL': () => to('http://['),
    'without a location': () => ({ status: 302 }),
  };

for (const [what, route] of Object.entries(refusals)) {
  test(`a redirect ${what} is refused before any request, and not tried again`, async (t) => {
    const server = await startServer(t, { '/b': { body: 'no' } });
    server.routes['/a'] = route(server);
    const error = await t.throwsAsync(openTestHttp(t).getDocument(page(`${server.url}/a`), signal));
    t.true(hasCode(error, 'REDIRECT_REFUSED'), `${error}`);
    t.false(error.message.includes('pass@'));
    t.is(server.requests.length, 1);
  });
}

test('a circle of two redirects is refused', async (t) => {
  const server = await startServer(t, { '/a': to('/b'), '/b': to('/a') });
  const error = await t.throwsAsync(openTestHttp(t).getDocument(page(`${server.url}/a`), signal));
  t.true(hasCode(error, 'REDIRECT_REFUSED'));
  t.is(server.requests.length, 2);
});

test('no redirect leads from https to http, but the other way is open', async (t) => {
  const plain = await startServer(t, {});
  const secure = await startServer(t, { '/a': to(`${plain.url}/b`), '/b': { body: 'yes' } }, { https: true });
  plain.routes['/a'] = to(`${secure.url}/b`);
  const http = openTestHttp(t, { ca: [secure.ca] });
  const error = await t.throwsAsync(http.getDocument(page(`${secure.url}/a`), signal));
  t.true(hasCode(error, 'REDIRECT_REFUSED'));
  t.is(plain.requests.length, 0);
  t.is((await http.getDocument(page(`${plain.url}/a`), signal)).status, 200);
});

test('credentials are sent to their own https origin, and not after a redirect to another', async (t) => {
  const other = await startServer(t, { '/b': { body: 'yes' } }, { https: true });
  const own = await startServer(t, { '/a': to(`${other.url}/b`) }, { https: true });
  const credentials = ({ host }: URL) => (host === `127.0.0.1:${own.port}` ? { Authorization: 'Bearer x' } : undefined);
  const http = openTestHttp(t, { ca: [own.ca], credentials });
  await http.getDocument(page(`${own.url}/a`), signal);
  await http.download({ url: `${own.url}/a`, sink: memorySink() }, signal);
  t.deepEqual(authorizations(own), ['Bearer x', 'Bearer x']);
  t.deepEqual(authorizations(other), [undefined, undefined]);
});

test('credentials are looked up again for the target of a redirect', async (t) => {
  const own = await startServer(t, { '/b': { body: 'yes' } }, { https: true });
  const other = await startServer(t, { '/a': to(`${own.url}/b`) }, { https: true });
  const credentials = ({ host }: URL) => (host === `127.0.0.1:${own.port}` ? { authorization: 'Bearer x' } : undefined);
  await openTestHttp(t, { ca: [own.ca], credentials }).getDocument(page(`${other.url}/a`), signal);
  t.deepEqual([authorizations(other), authorizations(own)], [[undefined], ['Bearer x']]);
});

test('credentials are never sent over http', async (t) => {
  const server = await startServer(t, {
    '/a': {
      handler: ({ headers }, response) =>
        void response.writeHead(headers.authorization === undefined ? 200 : 400).end(),
    },
  });
  const http = openTestHttp(t, { credentials: () => ({ authorization: 'Bearer x' }) });
  t.is((await http.getDocument(page(`${server.url}/a`), signal)).status, 200);
});

test('a server that refuses the credentials, or needs some, is an error with its status', async (t) => {
  const server = await startServer(
    t,
    {
      '/a': {
        handler: ({ headers }, response) => {
          response.writeHead(headers.authorization === 'Bearer good' ? 200 : 401).end();
        },
      },
    },
    { https: true },
  );
  const url = `${server.url}/a`;
  for (const [authorization, expected] of [
    [undefined, 401],
    ['Basic good', 401],
    ['Bearer good', undefined],
  ] as const) {
    const credentials = () => authorization && { authorization };
    const http = openTestHttp(t, { ca: [server.ca], credentials });
    const result = http.download({ url, sink: memorySink() }, signal);
    if (expected === undefined) await t.notThrowsAsync(result);
    else t.like(await t.throwsAsync(result), { code: 'HTTP_STATUS', details: { status: expected } });
  }
  t.is(server.requests.length, 3);
});

test('secret headers of a request are not sent after a redirect to another origin', async (t) => {
  const other = await startServer(t, { '/c': { body: 'yes' } });
  const own = await startServer(t, { '/a': to('/b'), '/b': to(`${other.url}/c`) });
  const headers = { authorization: 'Bearer x', cookie: 'y', accept: 'text/html' };
  await openTestHttp(t).getDocument({ ...page(`${own.url}/a`), headers }, signal);
  t.deepEqual(authorizations(own), ['Bearer x', 'Bearer x']);
  t.like(other.requests[0]?.headers, { authorization: undefined, cookie: undefined, accept: 'text/html' });
});

test('a URL with a user, or of another scheme, is refused before any request', async (t) => {
  const server = await startServer(t, {});
  const http = openTestHttp(t);
  for (const url of [`http://user:pass@127.0.0.1:${server.port}/`, 'ftp://127.0.0.1/', 'nothing']) {
    const error = await t.throwsAsync(http.getDocument(page(url), signal));
    t.true(hasCode(error, 'REFERENCE_INVALID'));
    t.false(error.message.includes('pass@'));
  }
  t.is(server.requests.length, 0);
});

test('the observer is told of every request on the way', async (t) => {
  const server = await startServer(t, { '/a': to('/b?secret'), '/b': { body: 'yes' } });
  let count = 0;
  await openTestHttp(t).getDocument(
    { ...page(`${server.url}/a?x`), observer: { onRequest: () => (count += 1) } },
    signal,
  );
  t.deepEqual([count, server.requests.map(({ url }) => url)], [2, ['/a?x', '/b?secret']]);
});
