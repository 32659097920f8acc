import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import test, { type ExecutionContext } from 'ava';

import { acceptBatch } from '../../src/fleet/accept.ts';
import { openLedger } from '../../src/fleet/ledger.ts';
import { connectQueue, parseQueueAddress } from '../../src/fleet/redis.ts';
import { acceptedKey, newSigningKey } from '../../src/image/sigstore/dsse.ts';
import { batchOf } from '../helpers/fleet-batch.ts';
import { openRedis, startRedis } from '../helpers/redis.ts';

const day = 24 * 60 * 60 * 1000;
const key = newSigningKey();
const keys = acceptedKey(key);
const patient = new AbortController().signal;

const shared = await openRedis();
test.after.always(() => shared?.[Symbol.asyncDispose]());
let databases = 0;

/** A database of the Redis that these tests share. */
function opened(t: ExecutionContext) {
  if (shared) return open(t, `${shared.url}/${(databases += 1)}`);
  t.log('skipped: not installed: redis-server');
  t.pass();
  return undefined;
}

async function open(t: ExecutionContext, url: string) {
  const connect = async () => {
    const address = parseQueueAddress(url, '--queue', false);
    const connection = await connectQueue(address, { isPatient: false, onWarning: () => undefined });
    const ledger = openLedger(connection, Date.now);
    t.teardown(async () => {
      await ledger[Symbol.asyncDispose]();
      await connection[Symbol.asyncDispose]();
    });
    return { ledger, connection };
  };
  return { connect, ...(await connect()) };
}

test('a batch that was submitted is there for others, by its name', async (t) => {
  const fleet = await opened(t);
  if (!fleet) return;
  const batch = batchOf({ name: 'nightly' });
  const other = await fleet.connect();
  const news = other.ledger.news(patient, 'batches');
  await fleet.ledger.submit(batch, key);
  await news;
  t.deepEqual(await other.ledger.names(), ['nightly']);
  const envelope = await other.ledger.envelope('nightly');
  t.like(await acceptBatch(envelope ?? '', { keys, nowMs: Date.now(), name: 'nightly' }), { batch, keyId: key.keyId });
  t.is(await other.ledger.envelope('other'), undefined);
});

test('of two batches of one name the second is refused; the same batch may be submitted twice', async (t) => {
  const fleet = await opened(t);
  if (!fleet) return;
  const { ledger } = fleet;
  await ledger.submit(batchOf({ name: 'a' }), key);
  const same = batchOf({ name: 'b' });
  await ledger.submit(same, key);
  await ledger.submit(same, key);
  await t.throwsAsync(ledger.submit(batchOf({ name: 'a' }), key), {
    name: 'ImageError',
    code: 'BATCH_EXISTS',
  });
  t.deepEqual([...(await ledger.names())].sort(), ['a', 'b']);
});

test('of two submitters of one name one has its batch whole, and the other is told', async (t) => {
  const fleet = await opened(t);
  if (!fleet) return;
  const ledgers = [fleet.ledger, (await fleet.connect()).ledger];
  const tries = await Promise.allSettled(ledgers.map((ledger) => ledger.submit(batchOf(), key)));
  t.deepEqual(tries.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  t.deepEqual(await fleet.ledger.names(), ['nightly']);
});

test('what a worker would refuse is not added to the queue', async (t) => {
  const fleet = await opened(t);
  if (!fleet) return;
  for (const part of [{ name: 'a b' }, { name: '../x' }, { images: [{ image: '/etc/shadow', type: 'name' as const }] }])
    await t.throwsAsync(fleet.ledger.submit(batchOf(part), key), { name: 'ImageError', code: 'BATCH_INVALID' });
  t.is(await fleet.connection.redis.dbsize(), 0);
});

test('nothing is reported twice, but what does not count may be replaced', async (t) => {
  const fleet = await opened(t);
  if (!fleet) return;
  const { ledger } = fleet;
  const batch = batchOf();
  t.true(await ledger.addResult(batch, { field: '0', envelope: 'first' }));
  t.false(await ledger.addResult(batch, { field: '0', envelope: 'second' }));
  t.false(await ledger.addResult(batch, { field: '0', envelope: 'second' }, 'other'));
  t.is(await ledger.result(batch.id, '0'), 'first');
  t.true(await ledger.addResult(batch, { field: '0', envelope: 'second' }, 'first'));
  t.true(await ledger.addResult(batch, { field: '0/node', envelope: 'copy' }));
  const all = await ledger.results(batch.id, 0);
  t.deepEqual(all, {
    total: 2,
    connection: 0,
    kept: [
      { field: '0', envelope: 'second' },
      { field: '0/node', envelope: 'copy' },
    ],
    next: 2,
    isLast: true,
  });
  t.like(await ledger.results(batch.id, 2), { kept: [], next: 2 });
});

test('results are read in pieces, and what is too large to be one is left out, whoever wrote it', async (t) => {
  const fleet = await opened(t);
  if (!fleet) return;
  const { ledger, connection } = fleet;
  const batch = batchOf();
  await connection.redis.hset(
    `{longshore}:fleet:results:${batch.id}`,
    '0',
    'x'.repeat(10_000_000),
    'y'.repeat(1000),
    'x',
  );
  await connection.redis.rpush(`{longshore}:fleet:order:${batch.id}`, '0', 'y'.repeat(1000), 'absent');
  const envelope = 'z'.repeat(1_000_000);
  for (let index = 1; index <= 20; index += 1) await ledger.addResult(batch, { field: String(index), envelope });
  t.is(await ledger.result(batch.id, '0'), undefined);
  const found: string[] = [];
  let next = 0;
  for (let pieces = 0; ; pieces += 1) {
    const piece = await ledger.results(batch.id, next);
    if (piece.next === next) {
      t.true(pieces > 1);
      break;
    }
    found.push(...piece.kept.map(({ field }) => field));
    next = piece.next;
  }
  t.deepEqual(
    found,
    Array.from({ length: 20 }, (_, index) => String(index + 1)),
  );
});

test('a batch whose envelope is larger than any may be is no batch, and is not read whole', async (t) => {
  const fleet = await opened(t);
  if (!fleet) return;
  await fleet.connection.redis.set('{longshore}:fleet:batch:nightly', 'x'.repeat(100_000_000));
  const envelope = (await fleet.ledger.envelope('nightly')) ?? '';
  t.true(envelope.length < 90_000_000);
  await t.throwsAsync(acceptBatch(envelope, { keys, nowMs: Date.now(), name: 'nightly' }), { code: 'BATCH_INVALID' });
});

test('a batch that is complete goes with its results after the time that it asked for; others stay', async (t) => {
  const fleet = await opened(t);
  if (!fleet) return;
  const { ledger, connection } = fleet;
  const [batch, other] = [batchOf({ keepResultsMs: 60_000 }), batchOf({ name: 'other' })];
  for (const one of [batch, other]) {
    await ledger.submit(one, key);
    await ledger.addResult(one, { field: '0', envelope: 'x' });
  }
  await ledger.cancel(batch, key);
  await ledger.expire(batch);
  const left = async (part: string) => connection.redis.pttl(`{longshore}:fleet:${part}`);
  for (const part of ['batch:nightly', `results:${batch.id}`, `order:${batch.id}`, `cancellation:${batch.id}`]) {
    const ms = await left(part);
    t.true(ms > 0 && ms <= 60_000, `${part}: ${ms}`);
  }
  for (const part of ['batch:other', `results:${other.id}`]) t.true((await left(part)) > day, part);
  await ledger.expire({ ...batch, keepResultsMs: day });
  t.true((await left('batch:nightly')) <= 60_000, 'it never lives longer for that');
  t.deepEqual([...(await ledger.names())].sort(), ['nightly', 'other']);
});

test('workers are there for as long as they say so', async (t) => {
  const fleet = await opened(t);
  if (!fleet) return;
  const { ledger, connection } = fleet;
  await ledger.announce('one', 'envelope of one');
  await ledger.announce('two', 'envelope of two');
  await connection.redis.zadd('{longshore}:fleet:workers', '+inf', 'x'.repeat(10_000), '+inf', '../odd');
  t.deepEqual([...(await ledger.workers())].sort(), ['envelope of one', 'envelope of two']);
  await ledger.leave('one');
  await connection.redis.del('{longshore}:fleet:worker:two'); // its time is over
  t.deepEqual(await ledger.workers(), []);
});

test('in a Redis that others use, nothing of them is read or changed', async (t) => {
  const fleet = await opened(t);
  if (!fleet) return;
  const { ledger, connection } = fleet;
  const foreign = ['bull:mail:meta', 'session:1', 'longshore', 'nightly'];
  for (const name of foreign) await connection.redis.set(name, 'of others');
  const batch = batchOf();
  await ledger.submit(batch, key);
  await ledger.addResult(batch, { field: '0', envelope: 'x' });
  await ledger.cancel(batch, key);
  await ledger.announce('one', 'x');
  await ledger.expire(batch);
  const all = await connection.redis.keys('*');
  t.deepEqual(all.filter((name) => !name.startsWith('{longshore}:')).sort(), foreign.toSorted());
  for (const name of foreign) t.is(await connection.redis.get(name), 'of others');
});

test('news come at once, or at the latest after two seconds, also while the queue is away', async (t) => {
  const server = await startRedis(t);
  if (!server) return;
  const { ledger } = await open(t, server.url);
  const stopped = AbortSignal.abort(new Error('stopped'));
  await t.throwsAsync(ledger.news(stopped, 'batches'), { message: 'stopped' });
  await ledger.news(patient, 'batches');
  await server.kill();
  await ledger.news(patient, 'batches');
  t.pass();
});

test.serial('nothing is kept of who has waited for news that did not come', async (t) => {
  const fleet = await opened(t);
  if (!fleet) return;
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const stopped = AbortSignal.abort(new Error('stopped'));
  const wait = async (times: number): Promise<number> => {
    for (let time = 0; time < times; time += 1) await fleet.ledger.news(stopped, 'results').catch(() => undefined);
    collect();
    return process.memoryUsage().heapUsed;
  };
  const before = await wait(1000);
  const grown = (await wait(20_000)) - before;
  t.true(grown < 2_000_000, `${grown} bytes`);
});

test('a queue that goes away is an error that may be shown, after a few tries', async (t) => {
  const server = await startRedis(t);
  if (!server) return;
  const { ledger } = await open(t, server.url);
  await server.kill();
  const error = await t.throwsAsync(ledger.names(), { name: 'ImageError', code: 'QUEUE_UNAVAILABLE' });
  t.like(error, { details: { queue: server.url } });
});
