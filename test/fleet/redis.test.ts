import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';

import test, { type ExecutionContext } from 'ava';

import { connectQueue, parseQueueAddress, parseQueueLogin, type QueueOptions } from '../../src/fleet/redis.ts';
import { makeCertificate } from '../helpers/certificates.ts';
import { type RedisOptions, startRedis } from '../helpers/redis.ts';

const secret = 'hunter2';

async function connect(t: ExecutionContext, url: string, options: Partial<QueueOptions> = {}) {
  const warnings: string[] = [];
  const settings = { isPatient: false, onWarning: (message: string) => void warnings.push(message), ...options };
  const queue = await connectQueue(parseQueueAddress(url, 'LONGSHORE_QUEUE', true), settings);
  t.teardown(() => queue[Symbol.asyncDispose]());
  return { ...queue, warnings };
}

type Unavailable = { readonly message: string; readonly details: { readonly reason: string } };

/** Why it cannot be used. Nothing that is shown of it holds the password. */
async function whyNot(t: ExecutionContext, url: string, options?: Partial<QueueOptions>): Promise<string> {
  const error = await t.throwsAsync<Error & Unavailable>(connect(t, url, options), {
    name: 'ImageError',
    code: 'QUEUE_UNAVAILABLE',
  });
  t.notRegex(JSON.stringify(error) + String(error?.stack), new RegExp(secret));
  t.is(error?.cause, undefined);
  return error?.details.reason ?? '';
}

async function listen(t: ExecutionContext, server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const redisOf = async (t: ExecutionContext, options?: RedisOptions) => {
  const server = await startRedis(t, options);
  return server && { ...server, place: `127.0.0.1:${server.port}` };
};

test('the address of a queue is one, and messages have it without user and password', (t) => {
  const parse = (text: string) => parseQueueAddress(text, '--queue', true);
  t.like(parse('redis://redis.test'), { shown: 'redis://redis.test:6379', port: 6379, db: 0, isTls: false });
  t.like(parse('rediss://Redis.test:7000/3'), { shown: 'rediss://redis.test:7000/3', db: 3, isTls: true });
  t.like(parse('redis://[::1]:7000'), { shown: 'redis://[::1]:7000', host: '::1' });
  t.like(parse(`redis://me:${secret}@redis.test`), {
    shown: 'redis://redis.test:6379',
    login: { username: 'me', password: secret },
  });
  t.deepEqual(parse('redis://:a%3Ab%2F@redis.test').login, { password: 'a:b/' });
  t.deepEqual(parse(`redis://${secret}@redis.test`).login, { password: secret });
  const wrong = [
    ...[
      '',
      'redis.test',
      'http://redis.test',
      'redis://',
      'redis:///0',
      'redis://redis.test/x',
      'redis://redis.test:0',
    ],
    ...['redis://redis.test:70000', 'redis://redis.test?db=1', 'redis://redis.test#1', 'redis://a b', 'redis://[x]'],
    ...['redis://redis.test\n', 'redis://redis.test/99999999', `redis://%:${secret}@redis.test`, 'redis:///etc/shadow'],
  ];
  for (const text of wrong) {
    const error = t.throws(() => parse(text), { name: 'ImageError', code: 'USAGE' }, text);
    t.notRegex(error?.message ?? '', new RegExp(secret));
  }
  const seen = t.throws(() => parseQueueAddress(`redis://me:${secret}@redis.test`, '--queue', false), {
    code: 'USAGE',
  });
  t.notRegex(seen?.message ?? '', new RegExp(secret));
});

test('a file has a password, or a user and a password', (t) => {
  const parse = (text: string) => parseQueueLogin(text, '--queue-auth');
  t.deepEqual(parse('secret\n'), { password: 'secret' });
  t.deepEqual(parse('me:a:b\r\nmore'), { username: 'me', password: 'a:b' });
  t.deepEqual(parse(':a:b'), { password: 'a:b' });
  for (const text of ['', '\n', 'a'.repeat(100_000)]) t.throws(() => parse(text), { code: 'USAGE' });
});

test('a Redis is connected to with its password, and one that would throw data away is warned of', async (t) => {
  const redis = await redisOf(t, {
    password: secret,
    user: { name: 'me', password: 'own' },
    maxmemoryPolicy: 'allkeys-lru',
  });
  if (!redis) return;
  const { redis: client, warnings } = await connect(t, `redis://:${secret}@${redis.place}/2`);
  t.is(await client.set('a', 'b'), 'OK');
  t.is(warnings.length, 1);
  t.regex(warnings[0] ?? '', /maxmemory-policy allkeys-lru.*noeviction/);
  t.is(await (await connect(t, `redis://me:own@${redis.place}/2`)).redis.get('a'), 'b');
  t.is(await whyNot(t, `redis://:${secret}2@${redis.place}`), 'password');
  t.is(await whyNot(t, `redis://other:${secret}@${redis.place}`), 'password');
  t.is(await whyNot(t, `redis://${redis.place}`), 'password');
  t.is(await whyNot(t, `rediss://:${secret}@${redis.place}`, { answerMs: 300 }), 'tls');
});

test('what is no Redis, or not there, is said to be that', async (t) => {
  const http = await listen(
    t,
    createHttpServer((_, response) => response.end('hello')),
  );
  t.is(await whyNot(t, `redis://:${secret}@${http}`), 'notRedis');
  const liar = await listen(
    t,
    createServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (bytes) => socket.write(bytes.toString().replaceAll(/^\*/gm, '-ERR *').slice(0, 500)));
    }),
  );
  t.regex(await whyNot(t, `redis://:${secret}@${liar}`), /^(?:notRedis|unreachable)$/);
  const closing = await listen(
    t,
    createServer((socket) => socket.destroy()),
  );
  t.is(await whyNot(t, `redis://:${secret}@${closing}`), 'unreachable');
  const resetting = await listen(
    t,
    createServer((socket) => socket.resetAndDestroy()),
  );
  await t.throwsAsync(connect(t, `redis://${resetting}`), {
    message: /ends the connection; if it wants TLS, .*rediss:/,
  });
  const { cert, key, ca } = await makeCertificate(['redis.test']);
  const other = await listen(t, createTlsServer({ cert, key }));
  await t.throwsAsync(connect(t, `rediss://${other}`), { message: /by TLS: the certificate is signed by an unknown/ });
  await t.throwsAsync(connect(t, `rediss://${other}`, { ca }), {
    message: /by TLS: the certificate is for another host/,
  });
  const gone = createServer();
  const nobody = await listen(t, gone);
  gone.close();
  t.is(await whyNot(t, `redis://:${secret}@${nobody}`), 'unreachable');
});

test('who is stopped while a queue does not answer leaves no connection', async (t) => {
  const come = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<void>();
  const silent = createServer((socket) => {
    socket.on('error', () => undefined).on('close', () => closed.resolve());
    socket.resume();
    come.resolve();
  });
  const stop = new AbortController();
  const connecting = connect(t, `redis://${await listen(t, silent)}`, { signal: stop.signal, waitMs: 60_000 });
  await come.promise;
  stop.abort(new Error('stopped'));
  await t.throwsAsync(connecting, { message: 'stopped' });
  await closed.promise;
});

test('a connection that is ended between two tries to connect ends, and what was asked of it fails: nobody waits for that', async (t) => {
  const redis = await redisOf(t);
  if (!redis) return;
  const { redis: first, abandon } = await connect(t, redis.url, { isPatient: true });
  const second = first.duplicate({ lazyConnect: false });
  second.on('error', () => undefined);
  await second.set('a', 'b');
  const away = Promise.all([once(first, 'reconnecting'), once(second, 'reconnecting')]);
  await redis.kill();
  await away;
  for (const [client, end] of [
    [second, () => second.disconnect()],
    [first, abandon],
  ] as const) {
    t.is(client.status, 'reconnecting');
    const [asked, ended] = [client.get('a'), once(client, 'end')];
    end();
    await t.throwsAsync(asked, { message: 'Connection is closed.' });
    await ended;
  }
});

test('a queue that comes later is waited for, and one that is away is said to be away once, and to be back', async (t) => {
  const redis = await redisOf(t);
  if (!redis) return;
  await redis.kill();
  const early = Promise.withResolvers<void>();
  const warnings: string[] = [];
  const onWarning = (message: string): void => {
    warnings.push(message);
    early.resolve();
  };
  const connecting = connect(t, redis.url, { waitMs: 30_000, isPatient: true, onWarning });
  await early.promise;
  await redis.start();
  const { redis: client } = await connecting;
  t.is(warnings.length, 1);
  t.is(await client.set('a', 'b'), 'OK');
  const tried = Promise.withResolvers<void>();
  let tries = 0;
  client.on('reconnecting', () => (tries += 1) === 2 && tried.resolve());
  await redis.kill();
  const value = client.get('a');
  await tried.promise;
  await redis.start();
  t.regex((await value) ?? 'nothing', /^(?:b|nothing)$/); // the last second may not have been written
  t.is(warnings.length, 3, warnings.join('\n'));
  t.regex(warnings[1] ?? '', /lost/);
  t.regex(warnings[2] ?? '', /back/);
});
