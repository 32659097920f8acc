import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { parseDenyNet } from '../../src/http/deny-net.ts';
import { openTestHttp } from '../helpers/http.ts';
import { startProxy } from '../helpers/proxy.ts';
import { startServer } from '../helpers/server.ts';

const signal = AbortSignal.timeout(600_000);
const limit = { name: 'page', bytes: 1000 };
const page = (url: string) => ({ url, limit, statuses: [200] });

const written = [
  '127.0.0.1',
  '0x7f.1',
  '0.0.0.0',
  '[::ffff:127.0.0.1]',
  '[::ffff:0.0.0.0]',
  '[::]',
  '[::0.0.0.0]',
  'localhost',
];

for (const host of written) {
  test(`no connection is made to ${host} when its network is denied`, async (t) => {
    const server = await startServer(t, { '/': { body: 'no' } });
    const http = openTestHttp(t, { denyNet: ['127.0.0.0/8', '::1/128'] });
    const error = await t.throwsAsync(http.getDocument(page(`http://${host}:${server.port}/`), signal));
    t.true(hasCode(error, 'INSECURE_REFUSED'), `${error}`);
    t.is(server.requests.length, 0);
  });
}

test('neither a redirect nor connect-to reaches a denied network', async (t) => {
  const inner = await startServer(t, { '/': { body: 'no' } });
  const connectTo = [{ host: 'example.com', port: '', toHost: '127.0.0.1', toPort: `${inner.port}` }];
  const http = openTestHttp(t, { denyNet: ['127.0.0.0/8'], connectTo });
  t.true(hasCode(await t.throwsAsync(http.getDocument(page('http://example.com/'), signal)), 'INSECURE_REFUSED'));
  t.is(inner.requests.length, 0);
});

test('a name with allowed and denied addresses is reached by an allowed one', async (t) => {
  const server = await startServer(t, { '/': { body: 'yes' } });
  const http = openTestHttp(t, { denyNet: ['::1', '10.0.0.0/8'] });
  t.is((await http.getDocument(page(`http://localhost:${server.port}/`), signal)).status, 200);
});

test('a proxy is not asked for an address that is denied, but may be in a denied network itself', async (t) => {
  const server = await startServer(t, { '/': { body: 'yes' } });
  const proxy = await startProxy(t, { toPort: server.port });
  const http = openTestHttp(t, {
    denyNet: ['10.0.0.0/8', '127.0.0.0/8'],
    proxy: { http: proxy.url, https: proxy.url },
  });
  for (const url of ['http://10.0.0.1/', 'https://10.0.0.1/']) {
    t.true(hasCode(await t.throwsAsync(http.getDocument(page(url), signal)), 'INSECURE_REFUSED'));
  }
  t.is(proxy.requests.length, 0);
  t.is((await http.getDocument(page('http://example.com/'), signal)).status, 200);
});

for (const [how, address] of [
  ['mapped', '::ffff:10.1.2.3'],
  ['compatible', '::10.1.2.3'],
  ['translated', '::ffff:0:10.1.2.3'],
  ['NAT64', '64:ff9b::10.1.2.3'],
  ['a local NAT64', '64:ff9b:1::10.1.2.3'],
  ['6to4', '2002:a01:203::1'],
  ['Teredo', '2001:0:1:2::f5fe:fdfc'],
  ['ISATAP', 'fe80::5efe:10.1.2.3'],
  ['with a zone', '::ffff:10.1.2.3%lo'],
] as const) {
  test(`an address of IPv4 inside one of IPv6 is seen: ${how}`, (t) => {
    const guard = parseDenyNet(['10.0.0.0/8']);
    t.throws(() => guard?.check(address), { code: 'INSECURE_REFUSED' });
    t.throws(() => guard?.allowed([address], 'a.example'), { code: 'INSECURE_REFUSED' });
    t.notThrows(() => parseDenyNet(['11.0.0.0/8'])?.check(address));
  });
}

test('the denied addresses of a name are left out', (t) => {
  const guard = parseDenyNet(['10.0.0.0/8', 'fd00::/8']);
  t.deepEqual(guard?.allowed(['10.0.0.1', '192.0.2.1', 'fd00::1', '2001:db8::1'], 'a'), ['192.0.2.1', '2001:db8::1']);
});

test('text that is neither an address nor a block is refused', (t) => {
  for (const block of ['10.0.0.0/33', 'example.com', '10.0.0/8', '']) {
    t.throws(() => parseDenyNet([block]), { code: 'USAGE' }, block);
  }
});
