import test from 'ava';

import { openTestHttp } from '../helpers/http.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { startRawServer } from '../helpers/raw-server.ts';
import { startServer } from '../helpers/server.ts';
import { startSocks } from '../helpers/socks.ts';

const signal = AbortSignal.timeout(600_000);
const limit = { name: 'page', bytes: 1000 };
const page = (url: string) => ({ url, limit, statuses: [200] });

for (const https of [false, true]) {
  test(`${https ? 'https' : 'http'} goes through a SOCKS5 proxy, which resolves the names`, async (t) => {
    const server = await startServer(t, { '/a': { body: 'yes' } }, { https, names: ['a.example'] });
    const socks = await startSocks(t, { toPort: server.port });
    for (const scheme of ['socks5', 'socks5h', 'socks']) {
      const proxy = { all: socks.url.replace('socks5', scheme) };
      const http = openTestHttp(t, { proxy, ...(https && { ca: [server.ca] }) });
      for (let n = 0; n < 2; n += 1) {
        const sink = memorySink();
        await http.download({ url: `${https ? 'https' : 'http'}://a.example/a`, sink }, signal);
        t.is(sink.content().toString(), 'yes');
      }
    }
    t.true(socks.requests.length <= 6);
    for (const { to } of socks.requests) t.is(to, `a.example:${https ? 443 : 80}`);
    t.is(server.requests[0]?.url, '/a', 'as to an origin server, not as to a proxy');
  });
}

test('addresses are sent as addresses', async (t) => {
  const server = await startServer(t, { '/': { body: 'yes' } });
  const socks = await startSocks(t, { toPort: server.port });
  const http = openTestHttp(t, { proxy: { http: socks.url } });
  for (const host of ['192.0.2.1', '[2001:db8::1:2]', '[::ffff:192.0.2.1]', '[::]', '[1:2:3:4:5:6:7:8]']) {
    t.is((await http.getDocument(page(`http://${host}:81/`), signal)).status, 200);
  }
  t.deepEqual(
    socks.requests.map(({ to }) => to),
    [
      '192.0.2.1:81',
      '20010db8000000000000000000010002:81',
      '00000000000000000000ffffc0000201:81',
      `${'0'.repeat(32)}:81`,
      '00010002000300040005000600070008:81',
    ],
  );
});

test('user and password are sent to the proxy only; wrong ones are refused once, without showing them', async (t) => {
  const server = await startServer(t, { '/': { body: 'yes' } });
  const socks = await startSocks(t, { credentials: 'me:s p' });
  const as = (user: string) => openTestHttp(t, { proxy: { http: socks.url.replace('//', `//${user}`) } });
  t.is((await as('me:s%20p@').getDocument(page(server.url), signal)).status, 200);
  t.deepEqual(socks.requests, [{ to: `127.0.0.1:${server.port}`, user: 'me:s p' }]);
  for (const [user, message] of [
    ['me:wrong@', `the proxy ${socks.url} refuses its user and password`],
    ['', `the proxy ${socks.url} wants a user and a password`],
  ] as const) {
    const error = await t.throwsAsync(as(user).getDocument(page(server.url), signal));
    t.like(error, { code: 'AUTH_DENIED', message, details: { proxy: socks.url } });
  }
});

for (const [reply, what] of [
  [1, 'has failed'],
  [2, 'does not allow this connection'],
  [5, 'says: connection refused'],
  [77, 'answered 77'],
] as const) {
  test(`a SOCKS5 proxy that answers ${reply} is named with what that means, after the retries`, async (t) => {
    const socks = await startSocks(t, { reply });
    const http = openTestHttp(t, { proxy: { all: socks.url }, retries: 1 });
    const error = await t.throwsAsync(http.getDocument(page('https://a.example/'), signal));
    t.like(error, { code: 'NETWORK', message: `the proxy ${socks.url} ${what}` });
    t.is(socks.requests.length, 2);
  });
}

for (const [what, answer, message] of [
  ['speaks something else', 'HTTP/1.1 400 Bad Request\r\n\r\n', 'does not speak SOCKS5'],
  ['hangs up', '', 'closed the connection'],
  ['hangs up in the middle', '\x05', 'closed the connection'],
] as const) {
  test(`a SOCKS5 proxy that ${what} is named at once`, async (t) => {
    const proxy = await startRawServer(
      t,
      () => undefined,
      (socket) => void socket.end(answer),
    );
    const url = proxy.url.replace('http', 'socks5');
    const http = openTestHttp(t, { proxy: { all: url }, retries: 0 });
    const error = await t.throwsAsync(http.getDocument(page('http://a.example/'), signal));
    t.like(error, { code: 'NETWORK', message: `the proxy ${url} ${message}` });
  });
}

test('a SOCKS5 proxy that is silent is a timeout that names it', async (t) => {
  const proxy = await startRawServer(t, () => undefined);
  const url = proxy.url.replace('http', 'socks5');
  const timeouts = { connectMs: 200, headersMs: 5000, stallMs: 5000 };
  const http = openTestHttp(t, { proxy: { all: url }, retries: 0, timeouts });
  const error = await t.throwsAsync(http.getDocument(page('http://a.example/'), signal));
  t.like(error, { code: 'TIMEOUT', message: `no connection to the proxy ${url} within 0.2 s` });
});

test('a SOCKS5 proxy is not asked to connect to a denied address', async (t) => {
  const socks = await startSocks(t);
  const http = openTestHttp(t, { proxy: { all: socks.url }, denyNet: ['10.0.0.0/8', '127.0.0.0/8'] });
  await t.throwsAsync(http.getDocument(page('http://10.0.0.1/'), signal), { code: 'INSECURE_REFUSED' });
  t.is(socks.requests.length, 0);
});
