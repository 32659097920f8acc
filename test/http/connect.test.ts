import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

import test from 'ava';

import { addressesOf, connectAny, parseConnectTo, targetOf } from '../../src/http/connect.ts';
import { listen } from '../helpers/server.ts';

test('--connect-to has four parts; any may be empty, and IPv6 is in brackets', (t) => {
  t.deepEqual(parseConnectTo('a.example:443:127.0.0.1:8443'), {
    host: 'a.example',
    port: '443',
    toHost: '127.0.0.1',
    toPort: '8443',
  });
  t.deepEqual(parseConnectTo('[::1]::[::2]:1'), { host: '::1', port: '', toHost: '::2', toPort: '1' });
  t.deepEqual(parseConnectTo(':::'), { host: '', port: '', toHost: '', toPort: '' });
  for (const text of ['', 'a', 'a:1:b', 'a:x:b:2', '::1:1:b:2', 'a:1:b:2:3']) {
    t.throws(() => parseConnectTo(text), { code: 'USAGE' }, text);
  }
});

test('the first matching rule decides; an empty part matches any host or port, or keeps that of the URL', (t) => {
  const rules = ['a.example:443:b.example:1', 'A.example::c.example:', '::d.example:', ':8080::9'].map(parseConnectTo);
  t.deepEqual(targetOf(new URL('https://a.example/'), rules), { host: 'b.example', port: 1 });
  t.deepEqual(targetOf(new URL('http://a.example/'), rules), { host: 'c.example', port: 80 });
  t.deepEqual(targetOf(new URL('https://x.example:5/'), rules), { host: 'd.example', port: 5 });
  t.deepEqual(targetOf(new URL('http://[::1]:8080/'), rules.slice(3)), { host: '::1', port: 9 });
  t.deepEqual(targetOf(new URL('http://x.example/'), []), { host: 'x.example', port: 80 });
});

const signal = AbortSignal.timeout(600_000);

/** Connects for real, to a port of this machine's many addresses, and tells which were tried; `held` ones have to be let go. */
function connector(port: number, held: Readonly<Record<string, Promise<void>>> = {}) {
  const tried: string[] = [];
  const sockets: Socket[] = [];
  const attempt = async (address: string, until: AbortSignal): Promise<Socket> => {
    tried.push(address);
    const stopped = once(until, 'abort').then(() => Promise.reject(until.reason as Error));
    await Promise.race([held[address], stopped]);
    const socket = connect(port, address);
    sockets.push(socket);
    await once(socket, 'connect', { signal: until });
    return socket;
  };
  return { attempt, tried, sockets };
}

async function startListener(t: Parameters<typeof listen>[0]): Promise<number> {
  const server = createServer();
  await listen(t, server); // on 127.0.0.1 alone
  return (server.address() as AddressInfo).port;
}

test('if the first addresses refuse, the next one is tried at once', async (t) => {
  const port = await startListener(t);
  const { attempt, tried } = connector(port);
  const socket = await connectAny(['127.0.0.2', '127.0.0.3', '127.0.0.1', '127.0.0.4'], attempt, signal);
  t.is(socket.remoteAddress, '127.0.0.1');
  t.deepEqual(tried, ['127.0.0.2', '127.0.0.3', '127.0.0.1']);
});

test('if the first address is silent, the next one is tried, and the first one is closed once that is connected', async (t) => {
  const port = await startListener(t);
  const { attempt, tried, sockets } = connector(port, { '127.0.0.2': new Promise(() => undefined) });
  const socket = await connectAny(['127.0.0.2', '127.0.0.1'], attempt, signal);
  t.is(socket.remoteAddress, '127.0.0.1');
  t.deepEqual(tried, ['127.0.0.2', '127.0.0.1']);
  t.is(sockets.length, 1);
});

test('a slow address is still used when the next one refuses', async (t) => {
  const port = await startListener(t);
  const slow = Promise.withResolvers<void>();
  const { attempt, tried } = connector(port, { '127.0.0.1': slow.promise });
  const connecting = connectAny(['127.0.0.1', '127.0.0.2'], attempt, signal);
  while (tried.length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
  setTimeout(slow.resolve, 100);
  t.is((await connecting).remoteAddress, '127.0.0.1');
});

test('if no address can be connected to, the error is not one about a missing route', async (t) => {
  const port = await startListener(t);
  const { attempt } = connector(port);
  const noWay = Object.assign(new Error('no way'), { code: 'ENETUNREACH' });
  const mixed = (address: string, until: AbortSignal) =>
    address.includes(':') ? Promise.reject(noWay) : attempt(address, until);
  const error = await t.throwsAsync(connectAny(['2001:db8::1', '127.0.0.2', '2001:db8::2'], mixed, signal));
  t.like(error, { code: 'ECONNREFUSED' });
  t.is(await t.throwsAsync(connectAny(['2001:db8::1', '2001:db8::2'], mixed, signal)), noWay);
});

test('an abort ends all tries with its reason', async (t) => {
  const port = await startListener(t);
  const never = new Promise<void>(() => undefined);
  const { attempt } = connector(port, { '127.0.0.1': never, '127.0.0.2': never });
  const stop = new AbortController();
  const connecting = connectAny(['127.0.0.1', '127.0.0.2'], attempt, stop.signal);
  stop.abort(new Error('enough'));
  await t.throwsAsync(connecting, { message: 'enough' });
});

test('an address is used as it is, a name has the addresses that the system finds, and a name without any fails', async (t) => {
  t.deepEqual(await addressesOf('::1', signal), ['::1']);
  t.true((await addressesOf('localhost', signal)).some((address) => /^(127\.0\.0\.1|::1)$/.test(address)));
  await t.throwsAsync(addressesOf('nowhere.invalid', signal));
  await t.throwsAsync(addressesOf('localhost', AbortSignal.abort(new Error('enough'))), { message: 'enough' });
});
