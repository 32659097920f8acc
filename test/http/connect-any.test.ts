import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

import test from 'ava';

import { addressesOf, connectAny } from '../../src/http/connect-any.ts';
import { listen } from '../helpers/server.ts';

const signal = AbortSignal.timeout(30_000);

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

test('where the first addresses refuse, the next one is connected to, at once', async (t) => {
  const port = await startListener(t);
  const { attempt, tried } = connector(port);
  const socket = await connectAny(['127.0.0.2', '127.0.0.3', '127.0.0.1', '127.0.0.4'], attempt, signal);
  t.is(socket.remoteAddress, '127.0.0.1');
  t.deepEqual(tried, ['127.0.0.2', '127.0.0.3', '127.0.0.1']);
});

test('where the first address is silent, the next one is connected to, and the first is given up then', async (t) => {
  const port = await startListener(t);
  const { attempt, tried, sockets } = connector(port, { '127.0.0.2': new Promise(() => undefined) });
  const socket = await connectAny(['127.0.0.2', '127.0.0.1'], attempt, signal);
  t.is(socket.remoteAddress, '127.0.0.1');
  t.deepEqual(tried, ['127.0.0.2', '127.0.0.1']);
  t.is(sockets.length, 1);
});

test('an address that is slow is not given up because the next one refuses', async (t) => {
  const port = await startListener(t);
  const slow = Promise.withResolvers<void>();
  const { attempt, tried } = connector(port, { '127.0.0.1': slow.promise });
  const connecting = connectAny(['127.0.0.1', '127.0.0.2'], attempt, signal);
  while (tried.length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
  setTimeout(slow.resolve, 100);
  t.is((await connecting).remoteAddress, '127.0.0.1');
});

test('where no address can be connected to, the error is of one that could be reached at all', async (t) => {
  const port = await startListener(t);
  const { attempt } = connector(port);
  const noWay = Object.assign(new Error('no way'), { code: 'ENETUNREACH' });
  const mixed = (address: string, until: AbortSignal) =>
    address.includes(':') ? Promise.reject(noWay) : attempt(address, until);
  const error = await t.throwsAsync(connectAny(['2001:db8::1', '127.0.0.2', '2001:db8::2'], mixed, signal));
  t.like(error, { code: 'ECONNREFUSED' });
  t.is(await t.throwsAsync(connectAny(['2001:db8::1', '2001:db8::2'], mixed, signal)), noWay);
});

test('an abort ends all that is under way, with its own reason', async (t) => {
  const port = await startListener(t);
  const never = new Promise<void>(() => undefined);
  const { attempt } = connector(port, { '127.0.0.1': never, '127.0.0.2': never });
  const stop = new AbortController();
  const connecting = connectAny(['127.0.0.1', '127.0.0.2'], attempt, stop.signal);
  stop.abort(new Error('enough'));
  await t.throwsAsync(connecting, { message: 'enough' });
});

test('an address is its own, a name has those of the system, and what has none fails', async (t) => {
  t.deepEqual(await addressesOf('::1', signal), ['::1']);
  t.true((await addressesOf('localhost', signal)).some((address) => /^(127\.0\.0\.1|::1)$/.test(address)));
  await t.throwsAsync(addressesOf('nowhere.invalid', signal));
  await t.throwsAsync(addressesOf('localhost', AbortSignal.abort(new Error('enough'))), { message: 'enough' });
});
