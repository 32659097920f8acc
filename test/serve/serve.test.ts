import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';

import test from 'ava';
import fc from 'fast-check';

import { parseUsers } from '../../src/serve/access.ts';
import { openTestStore } from '../helpers/blob.ts';
import { makeCertificate } from '../helpers/certificates.ts';
import { digestOf, putRegistryImage } from '../helpers/registry-image.ts';
import { serve, type Serving, usersOf } from '../helpers/serving.ts';
import { until } from '../helpers/until.ts';

const base = `/v2/library/app`;

function basic(user: string, password: string): { readonly authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
}

/** A connection that sends what it is given, as it is. */
async function connectTo(t: { teardown(done: () => void): void }, { port }: Serving): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => undefined);
  t.teardown(() => void socket.destroy());
  await once(socket, 'connect');
  return socket;
}

test('only names that are ours are answered', async (t) => {
  const store = await openTestStore(t, true);
  const server = await serve(t, store.dir, { hosts: ['mirror.example.com'] });
  const statusFor = async (host: string) => (await server.ask('/healthz', { headers: { host } })).status;
  for (const host of ['127.0.0.1', `127.0.0.1:${server.port}`, 'localhost:1', 'LOCALHOST', '[::1]:5000', '127.9.9.9'])
    t.is(await statusFor(host), 200, host);
  for (const host of ['mirror.example.com', 'Mirror.Example.com:443', 'mirror.example.com.'])
    t.is(await statusFor(host), 200, host);
  for (const host of ['evil.example', 'example.com', '10.1.2.3', '127.0.0.1.evil.example', 'a b', '[::1', '0x7f000001'])
    t.is(await statusFor(host), 421, host);
  const socket = await connectTo(t, server);
  socket.write('GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n');
  t.regex(await text(socket), /^HTTP\/1\.1 400 /);
  const refused = await server.ask('/v2/', { headers: { host: 'evil.example:5000' } });
  t.regex(refused.text, /start it with --host evil\.example if that is its name/);
  t.is(refused.headers['access-control-allow-origin'], undefined);
});

test('what is not read, or is nowhere, is refused', async (t) => {
  const store = await openTestStore(t, true);
  await putRegistryImage(store);
  const { ask } = await serve(t, store.dir);
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
    const refused = await ask(`${base}/manifests/latest`, { method });
    t.deepEqual([refused.status, refused.headers.allow], [405, 'GET, HEAD'], method);
    t.is(refused.headers['access-control-allow-methods'], undefined);
  }
  for (const path of [
    ...['/', '/v1/', '/v2/..', '/index.sqlite', '//v2/', '/v2/app', '/v2/app/manifests/', '/v2//manifests/latest'],
    ...['/v2/library/app/manifests/../latest', '/v2/library/app/blobs/sha256:..%2f..%2findex.sqlite'],
    ...[`/v2/library/app/blobs/sha256:${'A'.repeat(64)}`, `/v2/library/app/blobs/sha512:${'a'.repeat(128)}`],
    ...['/v2/library/app/manifests/%00', '/v2/library/app/manifests/%', '/v2/library/app/manifests/a%2fb'],
  ])
    t.is((await ask(path)).status, 404, path);
  for (const name of [
    '..',
    '../..',
    '%2e%2e/%2e%2e',
    '..%2f..',
    '%252e%252e',
    'library/app@sha256',
    'LIBRARY',
    'a:b',
    '.',
  ])
    for (const rest of ['manifests/latest', 'tags/list', `blobs/sha256:${'a'.repeat(64)}`]) {
      const { status, text: body } = await ask(`/v2/${name}/${rest}`);
      t.true([400, 404].includes(status), `${name} ${rest}: ${status}`);
      t.regex(body, /^\{"errors":\[\{"code":"(NAME_INVALID|UNSUPPORTED)"/);
    }
  t.is((await ask(`/v2/${'a/'.repeat(2200)}manifests/1`)).status, 414);
  t.is((await ask('/healthz', { headers: { more: 'a'.repeat(20_000) } })).status, 431);
  const many = `bytes=${Array.from({ length: 1_000 }, (_, index) => `${index}-${index}`).join(',')}`;
  t.is((await ask(`${base}/blobs/sha256:${'a'.repeat(64)}`, { headers: { range: many } })).status, 404);
});

test('whatever is asked for, the server does not fail', async (t) => {
  const store = await openTestStore(t, true);
  const { manifest } = await putRegistryImage(store);
  const server = await serve(t, store.dir, { catalog: true });
  const words = [
    'v2',
    'library',
    'app',
    'manifests',
    'blobs',
    'tags',
    'list',
    'referrers',
    'latest',
    '_catalog',
    'aci',
  ];
  const odd = ['..', '.', '', '%2e%2e', '%2F', '%00', '%', '%ff', '%u', '@', ':', '~', ';', '*', 'a'.repeat(300), 'é'];
  const queries = [
    '',
    '?',
    '?n=1',
    '?ns=a',
    '?ns=docker.io',
    '?ns=%00',
    '?last=%F0',
    '?ac-discovery=1',
    '?n=1&n=x',
    '?[]',
  ];
  const path = fc
    .array(fc.constantFrom(...words, ...odd, manifest.digest), { maxLength: 7 })
    .map((parts) => encodeURI(`/${parts.join('/')}`).replaceAll('%25', '%'));
  const known = new Set([200, 400, 404, 414, 416]);
  await fc.assert(
    fc.asyncProperty(path, fc.constantFrom(...queries), fc.constantFrom('GET', 'HEAD'), async (one, query, method) => {
      const { status } = await server.ask(one + query, { method, headers: { range: 'bytes=0-' } });
      return known.has(status) || status === 206;
    }),
    { numRuns: 300 },
  );
  t.deepEqual(server.warnings, []);
});

test('a name and a password are asked for, and wrong ones do not hold up the right ones', async (t) => {
  const store = await openTestStore(t, true);
  await putRegistryImage(store);
  const users = usersOf({ node: 'right', other: 'pass:word' });
  let compared = 0;
  let holds = false;
  const held = Promise.withResolvers<void>();
  const { ask } = await serve(t, store.dir, {
    users,
    async comparePassword(password, hash) {
      compared += 1;
      if (holds) await held.promise;
      return [...users].some(([user, one]) => one === hash && { node: 'right', other: 'pass:word' }[user] === password);
    },
  });
  const asUser = (user: string, password: string) =>
    ask(`${base}/manifests/latest`, { headers: basic(user, password) });
  const denied = await ask('/v2/');
  t.deepEqual([denied.status, denied.headers['www-authenticate']], [401, 'Basic realm="longshore", charset="UTF-8"']);
  t.is((await ask('/metrics')).status, 401);
  t.is((await ask('/nowhere')).status, 401);
  t.is((await ask('/healthz')).status, 200);
  t.is((await ask('/v2/', { headers: { authorization: 'Bearer abc' } })).status, 401);
  t.is(compared, 0);
  t.is((await asUser('node', 'right')).status, 200);
  t.is((await asUser('other', 'pass:word')).status, 200);
  t.is((await asUser('node', 'pass:word')).status, 401);
  t.is((await asUser('nobody', 'right')).status, 401);
  t.is(compared, 4);
  for (let count = 0; count < 5; count += 1) t.is((await asUser('node', 'right')).status, 200);
  t.is((await asUser('node', 'pass:word')).status, 401);
  t.is(compared, 4);

  holds = true;
  const wrong = Array.from({ length: 40 }, (_, index) => asUser('node', `wrong ${index}`));
  await until(() => compared === 8);
  t.is((await asUser('node', 'right')).status, 200);
  const busy = await asUser('node', 'one more');
  t.deepEqual([busy.status, busy.headers['retry-after']], [429, '1']);
  held.resolve();
  const statuses = (await Promise.all(wrong)).map(({ status }) => status);
  t.is(statuses.filter((status) => status === 401).length, 4);
  t.is(statuses.filter((status) => status === 429).length, 36);
});

test('passwords are compared by bcrypt, in a thread', async (t) => {
  const store = await openTestStore(t, true);
  const { ask } = await serve(t, store.dir, { users: usersOf({ node: 'right' }) });
  t.is((await ask('/v2/', { headers: basic('node', 'right') })).status, 200);
  t.is((await ask('/v2/', { headers: basic('node', 'wrong') })).status, 401);
  t.is((await ask('/v2/', { headers: basic('nobody', 'right') })).status, 401);
});

test('a file of users has hashes by bcrypt alone', (t) => {
  const hash = usersOf({ a: 'a' }).get('a') ?? '';
  t.deepEqual([...parseUsers(`# users\n\n a:${hash} \r\nb:${hash}\n`, 'users').keys()], ['a', 'b']);
  const refuses = (text: string, message: RegExp) =>
    t.throws(() => parseUsers(text, '/etc/users'), { code: 'CONFIG_INVALID', message });
  refuses('', /has no users/);
  refuses(`a:${hash}\nb:$apr1$abc$def`, /line 2: the password is not hashed by bcrypt/);
  refuses('a:secret', /line 1: the password is not hashed/);
  refuses(hash, /want USER:HASH/);
  refuses(`a:${hash.replace('$04$', '$15$')}`, /a cost of 15, at most 14/);
  t.notThrows(() => parseUsers(`a:${hash.replace('$2b$', '$2y$')}`, 'users'));
});

test('over TLS it is the same', async (t) => {
  const store = await openTestStore(t, true);
  await putRegistryImage(store);
  const tls = await makeCertificate(['127.0.0.1']);
  const { ask, url, warnings } = await serve(t, store.dir, { tls });
  t.regex(url, /^https:/);
  t.deepEqual(warnings, []);
  const expired = await serve(t, store.dir, { tls: await makeCertificate(['127.0.0.1'], true) });
  t.regex(expired.warnings.join(), /^the certificate has expired, on 2020-02-01: clients refuse it$/);
  t.is((await ask(`${base}/manifests/latest`)).status, 200);
  await t.throwsAsync(serve(t, store.dir, { tls: { ...tls, key: 'none' } }), { code: 'USAGE', message: /serve TLS/ });
});

test('an address that is taken, or not of this machine, is said to be', async (t) => {
  const store = await openTestStore(t, true);
  const { port } = await serve(t, store.dir);
  const at = (host: string, number: number) => serve(t, store.dir, { listen: { host, port: number } });
  await t.throwsAsync(at('127.0.0.1', port), {
    code: 'USAGE',
    message: /another program listens there \(EADDRINUSE\)/,
  });
  await t.throwsAsync(at('192.0.2.1', 0), { code: 'USAGE', message: /no such address/ });
});

test('a blob that is removed while it is read is read to its end, and its file is closed then', async (t) => {
  const store = await openTestStore(t, true);
  const layer = Buffer.alloc(24 * 2 ** 20, 'abc');
  const { reference } = await putRegistryImage(store, { layer });
  const server = await serve(t, store.dir);
  const path = store.digestPath(digestOf(layer));
  const files = () =>
    readdirSync('/proc/self/fd').filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith(path);
      } catch {
        return false;
      }
    });
  const socket = await connectTo(t, server);
  socket.write(`GET ${base}/blobs/${digestOf(layer)} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`);
  await once(socket, 'readable');
  t.is(files().length, 1);
  await store.removeRegistryImage(reference);
  await rm(path, { force: true });
  const answer = await text(socket.setEncoding('latin1'));
  t.is(answer.length - answer.indexOf('\r\n\r\n') - 4, layer.length);
  await until(() => files().length === 0);

  await putRegistryImage(store, { layer });
  const gone = await connectTo(t, server);
  gone.write(`GET ${base}/blobs/${digestOf(layer)} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
  await once(gone, 'readable');
  gone.destroy();
  await until(() => files().length === 0);
  t.deepEqual(server.warnings, []);
});

test('clients that go while they are answered are no failure', async (t) => {
  const store = await openTestStore(t, true);
  const layer = Buffer.alloc(2 ** 20);
  const { manifest } = await putRegistryImage(store, { layer });
  const server = await serve(t, store.dir);
  const paths = [`blobs/${digestOf(layer)}`, `manifests/${manifest.digest}`, 'manifests/latest', 'tags/list', 'none'];
  for (let round = 0; round < 40; round += 1) {
    const sockets = await Promise.all(paths.map(() => connectTo(t, server)));
    for (const [index, socket] of sockets.entries()) {
      socket.write(`GET ${base}/${paths[index]} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
      if (round % 3 === 0) socket.destroy();
      else if (round % 3 === 1) setImmediate(() => socket.destroy());
      else socket.once('readable', () => socket.resetAndDestroy());
    }
    for (const socket of sockets) if (!socket.closed) await once(socket, 'close');
  }
  t.is((await server.ask('/healthz')).status, 200);
  t.deepEqual(server.warnings, []);
});

test('requests that come before the answers to earlier ones wait, and too many end the connection', async (t) => {
  const store = await openTestStore(t, true);
  const layer = Buffer.alloc(16 * 2 ** 20);
  await putRegistryImage(store, { layer });
  const server = await serve(t, store.dir);
  const one = `GET ${base}/manifests/latest HTTP/1.1\r\nhost: localhost\r\n\r\n`;
  const few = await connectTo(t, server);
  few.write(one.repeat(7) + one.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n'));
  t.is((await text(few)).match(/HTTP\/1\.1 200 OK/g)?.length, 8);
  const many = await connectTo(t, server);
  many.write(one.replace('manifests/latest', `blobs/${digestOf(layer)}`) + one.repeat(100));
  await once(many.resume(), 'close');
  const gone = await connectTo(t, server);
  gone.write(one.replace('manifests/latest', `blobs/${digestOf(layer)}`) + one.repeat(5));
  await once(gone, 'readable');
  gone.destroy();
  t.is((await server.ask('/healthz')).status, 200);
  t.true(await server.close(5_000)); // nothing waits any more
});

test('it ends once what is under way has ended, and cuts what takes too long', async (t) => {
  const store = await openTestStore(t, true);
  const layer = Buffer.alloc(24 * 2 ** 20, 'abc');
  await putRegistryImage(store, { layer });
  const get = `GET ${base}/blobs/${digestOf(layer)} HTTP/1.1\r\nhost: localhost\r\n\r\n`;

  const server = await serve(t, store.dir);
  const [reader, idle] = [await connectTo(t, server), await connectTo(t, server)];
  reader.write(get);
  await once(reader, 'readable');
  const ended = server.close(60_000);
  await once(idle.resume(), 'close');
  await t.throwsAsync(server.ask('/healthz'), { code: 'ECONNREFUSED' });
  const answer = await text(reader.setEncoding('latin1'));
  t.is(answer.length - answer.indexOf('\r\n\r\n') - 4, layer.length);
  t.true(await ended);

  const other = await serve(t, store.dir);
  const stalled = await connectTo(t, other);
  stalled.write(get);
  await once(stalled, 'readable');
  t.false(await other.close(10));
  await once(stalled.resume(), 'close');
});

test('a client that takes nothing for a time is cut, and its file is closed', async (t) => {
  const store = await openTestStore(t, true);
  const layer = Buffer.alloc(24 * 2 ** 20, 'abc');
  await putRegistryImage(store, { layer });
  const server = await serve(t, store.dir, { stalledMs: 300 });
  const stalled = await connectTo(t, server);
  stalled.write(`GET ${base}/blobs/${digestOf(layer)} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
  await once(stalled, 'readable');
  await until(async () => /^longshore_serve_cut_answers_total 1$/m.test((await server.ask('/metrics')).text));
  let received = 0;
  for await (const chunk of stalled) received += (chunk as Buffer).length;
  t.true(received < layer.length);
  t.deepEqual(server.warnings, []);
});

test('metrics count what was answered', async (t) => {
  const store = await openTestStore(t, true);
  const { manifest } = await putRegistryImage(store);
  const { ask } = await serve(t, store.dir, { version: '1.2.3' });
  for (const path of [`${base}/manifests/latest`, `${base}/manifests/none`, `${base}/tags/list`]) await ask(path);
  const found = await ask('/metrics');
  t.regex(found.headers['content-type'] ?? '', /^text\/plain; version=0\.0\.4/);
  for (const line of [
    'longshore_info{version="1.2.3"} 1',
    'longshore_serve_requests_total{kind="manifest",status="200"} 1',
    'longshore_serve_requests_total{kind="refused",status="404"} 1',
    'longshore_serve_requests_total{kind="tags",status="200"} 1',
    `longshore_serve_sent_bytes_total{kind="manifest"} ${manifest.size}`,
    'longshore_serve_cut_answers_total 0',
  ])
    t.true(found.text.split('\n').includes(line), line);
  t.regex(found.text, /^longshore_serve_connections \d+$/m);
});
