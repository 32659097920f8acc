import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { parseNoProxy, parseProxies } from '../../src/http/proxy.ts';
import { openTestHttp } from '../helpers/http.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { startProxy } from '../helpers/proxy.ts';
import { startRawServer } from '../helpers/raw-server.ts';
import { startServer } from '../helpers/server.ts';

const signal = AbortSignal.timeout(600_000);
const limit = { name: 'page', bytes: 1000 };
const page = (url: string) => ({ url, limit, statuses: [200] });
const withUser = (url: string, user: string) => url.replace('//', `//${user}@`);
const authorization = `Basic ${Buffer.from('me:s p').toString('base64')}`;

test('https goes through a tunnel; the password is sent to the proxy only', async (t) => {
  const server = await startServer(t, { '/': { body: 'yes' } }, { https: true });
  const proxy = await startProxy(t, { credentials: 'me:s p' });
  const http = openTestHttp(t, { ca: [server.ca], proxy: { https: withUser(proxy.url, 'me:s%20p') } });
  t.is((await http.getDocument(page(server.url), signal)).status, 200);
  t.deepEqual(proxy.requests, [{ line: `CONNECT 127.0.0.1:${server.port}`, authorization }]);
  t.is(server.requests[0]?.headers['proxy-authorization'], undefined);
});

test('http is forwarded; the password is sent to the proxy only', async (t) => {
  const server = await startServer(t, { '/a': { body: 'yes' } });
  const proxy = await startProxy(t, { credentials: 'me:s p' });
  const http = openTestHttp(t, { proxy: { http: withUser(proxy.url, 'me:s%20p') } });
  t.is((await http.getDocument(page(`${server.url}/a?b`), signal)).status, 200);
  t.deepEqual(proxy.requests, [{ line: `GET ${server.url}/a?b`, authorization }]);
  t.like(server.requests[0]?.headers, { 'proxy-authorization': undefined, host: `127.0.0.1:${server.port}` });
});

test('a proxy may use TLS, for tunnels and for forwarded requests', async (t) => {
  const secure = await startServer(t, { '/': { body: 'yes' } }, { https: true, names: ['example.com'] });
  const plain = await startServer(t, { '/': { body: 'yes' } });
  const proxy = await startProxy(t, { https: true, toPort: secure.port });
  const forwarder = await startProxy(t, { https: true, toPort: plain.port });
  const http = openTestHttp(t, { ca: [proxy.ca], proxy: { http: forwarder.url, https: proxy.url } });
  t.is((await http.getDocument(page('https://example.com/'), signal)).status, 200);
  t.is((await http.getDocument(page('http://example.com/'), signal)).status, 200);
  t.is(plain.requests[0]?.headers.host, 'example.com');
});

test('downloads use the proxy also with TLS checks off', async (t) => {
  const server = await startServer(t, { '/': { body: 'yes' } }, { https: true });
  const proxy = await startProxy(t);
  const http = openTestHttp(t, { insecureTls: true, proxy: { https: proxy.url } });
  const sink = memorySink();
  await http.download({ url: server.url, sink }, signal);
  t.is(sink.content().toString(), 'yes');
  t.is(proxy.requests.length, 1);
});

test('a proxy that refuses the password is a status 407, and the error does not show the password', async (t) => {
  const [plain, secure] = [await startServer(t, {}), await startServer(t, {}, { https: true })];
  const proxy = await startProxy(t, { credentials: 'me:right' });
  const url = withUser(proxy.url, 'me:wrong');
  const http = openTestHttp(t, { ca: [secure.ca], proxy: { http: url, https: url } });
  for (const server of [plain, secure]) {
    const error = await t.throwsAsync(http.getDocument(page(server.url), signal));
    t.like(error, { code: 'HTTP_STATUS', details: { status: 407 } });
    t.is(error.message, `the proxy ${proxy.url} refuses its user and password (407)`);
    t.false(`${error.stack} ${JSON.stringify(error)}`.includes('wrong'));
    t.is(server.requests.length, 0);
  }
  t.is(proxy.requests.length, 2);
});

test('a proxy that cannot be reached is a network failure, after the retries', async (t) => {
  const proxy = { http: 'http://127.0.0.1:1', https: 'http://127.0.0.1:1' };
  const http = openTestHttp(t, { proxy, retries: 1 });
  for (const url of ['http://192.0.2.1/', 'https://192.0.2.1/']) {
    const error = await t.throwsAsync(http.getDocument(page(url), signal));
    t.like(error, { code: 'NETWORK', message: 'connection refused (the proxy http://127.0.0.1:1)' });
  }
});

for (const [what, answer, message] of [
  [
    'refuses',
    'HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n',
    (proxy: string) => `the proxy ${proxy} answered 403`,
  ],
  ['hangs up', '', (proxy: string) => `the connection was cut (the proxy ${proxy})`],
] as const) {
  test(`a proxy that ${what} is a network failure that names it`, async (t) => {
    const proxy = await startRawServer(t, (socket) => void socket.end(answer));
    const http = openTestHttp(t, { proxy: { https: proxy.url }, retries: 1 });
    const error = await t.throwsAsync(http.getDocument(page('https://192.0.2.1/'), signal));
    t.like(error, { code: 'NETWORK', message: message(proxy.url), details: { proxy: proxy.url } });
    t.is(proxy.requests.length, 2);
  });
}

test('a proxy that is silent is a timeout', async (t) => {
  const proxy = await startRawServer(t, () => undefined);
  const timeouts = { connectMs: 200, headersMs: 5000, stallMs: 5000 };
  const http = openTestHttp(t, { proxy: { https: proxy.url }, retries: 0, timeouts });
  t.true(hasCode(await t.throwsAsync(http.getDocument(page('https://192.0.2.1/'), signal)), 'TIMEOUT'));
});

test('after a tunnel is cut, only the missing bytes are requested', async (t) => {
  const body = Buffer.alloc(100_000, 'x');
  const server = await startServer(t, { '/a': { body, etag: '"1"' } }, { https: true });
  const proxy = await startProxy(t, { cutAfter: 60_000 });
  const http = openTestHttp(t, { ca: [server.ca], proxy: { https: proxy.url } });
  const sink = memorySink();
  await http.download({ url: `${server.url}/a`, sink }, signal);
  t.true(sink.content().equals(body));
  t.true(server.requests.length > 1);
});

test('NO_PROXY exempts hosts, and connect-to changes the target of a tunnel', async (t) => {
  const server = await startServer(t, { '/': { body: 'yes' } }, { https: true });
  const proxy = await startProxy(t);
  const direct = openTestHttp(t, { ca: [server.ca], proxy: { https: proxy.url, noProxy: '127.0.0.0/8' } });
  t.is((await direct.getDocument(page(server.url), signal)).status, 200);
  t.is(proxy.requests.length, 0);

  const connectTo = [{ host: 'example.com', port: '443', toHost: '127.0.0.1', toPort: `${server.port}` }];
  const led = openTestHttp(t, { ca: [server.ca], proxy: { https: proxy.url }, connectTo });
  t.is((await led.getDocument(page('https://example.com/'), signal)).status, 200);
  t.is(proxy.requests[0]?.line, `CONNECT 127.0.0.1:${server.port}`);
});

test('a proxy may be given without a scheme; invalid text is refused without showing it', (t) => {
  const proxyFor = parseProxies({ http: 'proxy.lan:3128', https: '' });
  t.is(proxyFor(new URL('http://a/'))?.shown, 'http://proxy.lan:3128');
  t.is(proxyFor(new URL('https://a/')), undefined);
  for (const http of [
    'socks4://me:secret@proxy.lan',
    'socks5://me:secret@',
    'http://me:secret@',
    'http://me:sec%zzret@proxy.lan',
  ]) {
    const error = t.throws(() => parseProxies({ http }), { code: 'USAGE' });
    t.notRegex(error.message, /sec/);
  }
});

const cases: readonly [noProxy: string, url: string, isExempt: boolean][] = [
  ['', 'http://a.example/', false],
  ['*', 'http://a.example/', true],
  ['a.example', 'http://a.example/', true],
  ['A.Example', 'http://a.EXAMPLE/', true],
  ['a.example', 'http://b.a.example:8080/', true],
  ['a.example', 'http://ba.example/', false],
  ['a.example', 'http://a.example.org/', false],
  ['.a.example', 'http://b.a.example/', true],
  ['.a.example', 'http://a.example/', false],
  ['a.example:8080', 'http://a.example:8080/', true],
  ['a.example:8080', 'http://a.example/', false],
  ['a.example:80', 'http://a.example/', true],
  ['a.example:443', 'https://a.example/', true],
  ['*.a.example', 'http://b.a.example/', true],
  ['*.a.example', 'http://a.example/', false],
  ['*.a.example:81', 'http://b.a.example:81/', true],
  ['*.a.example:81', 'http://b.a.example/', false],
  ['a.example.', 'http://a.example/', true],
  ['bücher.example', 'http://bücher.example/', true],
  ['.bücher.example', 'http://a.bücher.example/', true],
  [':80', 'http://a.example/', false],
  ['a.exam*', 'http://a.example/', false],
  ['', 'http://localhost/', false],
  ['', 'http://127.0.0.1/', false],
  ['a.example', 'http://[::1]/', false],
  ['localhost', 'http://localhost:5000/', true],
  ['10.1.2.3/8', 'http://10.200.0.1/', true],
  ['0.0.0.0/0', 'http://10.1.2.3/', true],
  ['10.0.0.0/8', 'http://[::ffff:10.1.2.3]/', true],
  ['[::1]', 'http://[::1]/', true],
  ['b.example, a.example', 'http://a.example/', true],
  ['b.example a.example', 'http://a.example/', true],
  ['10.0.0.0/8', 'http://10.1.2.3/', true],
  ['10.0.0.0/8', 'http://11.1.2.3/', false],
  ['10.0.0.0/8', 'http://ten.example/', false],
  ['10.0.0.0/99', 'http://10.1.2.3/', false],
  ['10.1.2.3', 'http://10.1.2.3/', true],
  ['10.1.2.3', 'http://10.1.2.30/', false],
  ['10.1.2.3:81', 'http://10.1.2.3:81/', true],
  ['10.1.2.3:81', 'http://10.1.2.3/', false],
  ['fd00::/8', 'http://[fd12::1]/', true],
  ['fd00::/8', 'http://[fe12::1]/', false],
  ['::1', 'http://[::1]:8080/', true],
  ['[::1]:8080', 'http://[0:0::1]:8080/', true],
  ['[::1]:8080', 'http://[::1]/', false],
];

for (const [noProxy, url, isExempt] of cases) {
  test(`NO_PROXY=${noProxy} ${isExempt ? 'exempts' : 'does not exempt'} ${url}`, (t) => {
    t.is(parseNoProxy(noProxy)(new URL(url)), isExempt);
  });
}
