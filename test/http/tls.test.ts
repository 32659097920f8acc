import { createServer } from 'node:tls';

import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { makeCertificate } from '../helpers/certificates.ts';
import { openTestHttp } from '../helpers/http.ts';
import { startRawServer } from '../helpers/raw-server.ts';
import { listen, startServer } from '../helpers/server.ts';

const signal = AbortSignal.timeout(600_000);
const limit = { name: 'page', bytes: 1000 };
const page = (url: string) => ({ url, limit, statuses: [200] });
const routes = { '/': { body: 'yes' } };

test('a certificate by a given authority is trusted', async (t) => {
  const server = await startServer(t, routes, { https: true });
  t.is((await openTestHttp(t, { ca: [server.ca] }).getDocument(page(server.url), signal)).status, 200);
});

test('a certificate by an unknown authority is refused, and not tried again', async (t) => {
  const server = await startServer(t, routes, { https: true });
  const error = await t.throwsAsync(openTestHttp(t).getDocument(page(server.url), signal));
  t.true(hasCode(error, 'TLS'), `${error}`);
  t.regex(error.message, /unknown authority/);
  t.is(server.requests.length, 0);
});

test('an expired certificate is refused, and the message mentions the clock', async (t) => {
  const server = await startServer(t, routes, { https: true, expired: true });
  const error = await t.throwsAsync(openTestHttp(t, { ca: [server.ca] }).getDocument(page(server.url), signal));
  t.true(hasCode(error, 'TLS'));
  t.regex(error.message, /expired.*clock/);
});

test('a certificate for another host is refused', async (t) => {
  const server = await startServer(t, routes, { https: true, names: ['example.org'] });
  const error = await t.throwsAsync(openTestHttp(t, { ca: [server.ca] }).getDocument(page(server.url), signal));
  t.true(hasCode(error, 'TLS'));
  t.regex(error.message, /another host/);
});

test('insecure tls accepts any certificate', async (t) => {
  const server = await startServer(t, routes, { https: true, names: ['example.org'], expired: true });
  t.is((await openTestHttp(t, { insecureTls: true }).getDocument(page(server.url), signal)).status, 200);
});

test('a server that does not speak TLS is a TLS failure', async (t) => {
  const server = await startRawServer(t, () => undefined);
  const plain = await startServer(t, routes);
  for (const { port } of [server, plain]) {
    const http = openTestHttp(t, { timeouts: { connectMs: 300, headersMs: 300, stallMs: 300 } });
    const error = await t.throwsAsync(http.getDocument(page(`https://127.0.0.1:${port}/`), signal));
    t.true(hasCode(error, 'TLS') || hasCode(error, 'TIMEOUT') || hasCode(error, 'NETWORK'), `${error}`);
  }
});

test('connect-to changes the address, not the name: neither in the certificate nor in the Host header', async (t) => {
  const server = await startServer(t, routes, { https: true });
  const connectTo = [{ host: 'example.com', port: '443', toHost: '127.0.0.1', toPort: `${server.port}` }];
  const http = openTestHttp(t, { ca: [server.ca], connectTo });
  t.is((await http.getDocument(page('https://example.com/'), signal)).status, 200);
  t.is(server.requests[0]?.headers.host, 'example.com');

  const wrong = await startServer(t, routes, { https: true, names: ['127.0.0.1'] });
  const elsewhere = [{ host: '', port: '', toHost: '', toPort: `${wrong.port}` }];
  const error = await t.throwsAsync(
    openTestHttp(t, { ca: [wrong.ca], connectTo: elsewhere }).getDocument(page('https://localhost/'), signal),
  );
  t.true(hasCode(error, 'TLS'));
});

test('with connect-to the certificate must still be for the name of the URL', async (t) => {
  const server = await startServer(t, routes, { https: true, names: ['127.0.0.1'] });
  const connectTo = [{ host: '192.0.2.1', port: '443', toHost: '127.0.0.1', toPort: `${server.port}` }];
  const http = openTestHttp(t, { ca: [server.ca], connectTo });
  t.true(hasCode(await t.throwsAsync(http.getDocument(page('https://192.0.2.1/'), signal)), 'TLS'));
});

test('TLS sessions are resumed: the second connection needs no full handshake', async (t) => {
  const { cert, key, ca } = await makeCertificate(['127.0.0.1']);
  const reused: boolean[] = [];
  const server = createServer({ cert, key }, (socket) => {
    reused.push(socket.isSessionReused());
    socket.on('error', () => undefined);
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'));
  });
  const { port } = await listen(t, server);
  const http = openTestHttp(t, { ca: [ca] });
  const request = page(`https://127.0.0.1:${port}/`);
  await http.getDocument(request, signal);
  await Promise.all([http.getDocument(request, signal), http.getDocument(request, signal)]);
  const [first, ...others] = reused;
  t.false(first);
  t.true(others.length > 0 && others.every(Boolean));
});

test('text that is not a certificate is refused when the client is opened', (t) => {
  t.throws(() => openTestHttp(t, { ca: ['nothing'] }), { code: 'USAGE' });
});
