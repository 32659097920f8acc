import test, { type ExecutionContext } from 'ava';

import { followResults, type FreshResult } from '../../src/fleet/follow-results.ts';
import { openLedger } from '../../src/fleet/ledger.ts';
import { connectQueue, parseQueueAddress } from '../../src/fleet/redis.ts';
import { signResult } from '../../src/fleet/result.ts';
import { acceptedKey, newSigningKey } from '../../src/image/sigstore/dsse.ts';
import { batchOf } from '../helpers/fleet-batch.ts';
import { startRedis } from '../helpers/redis.ts';
import { until } from '../helpers/until.ts';

const key = newSigningKey();
const image = { image: 'docker://registry.test/app:1', type: 'docker' } as const;

async function open(t: ExecutionContext, images = 9) {
  const server = await startRedis(t);
  if (!server) return undefined;
  const address = parseQueueAddress(server.url, '--queue', false);
  const connection = await connectQueue(address, { isPatient: true, onWarning: () => undefined });
  const ledger = openLedger(connection, Date.now);
  t.teardown(async () => {
    await ledger[Symbol.asyncDispose]();
    await connection[Symbol.asyncDispose]();
  });
  const batch = batchOf({ images: Array.from({ length: images }, () => image) });
  const [counted, doubted] = [new Set<number>(), [] as string[]];
  const follower = followResults({
    ...{ ledger, batch, keys: acceptedKey(key) },
    onDoubted: (field) => void doubted.push(field),
    onCounted: ({ index }) => void counted.add(index),
    onStartOver: () => counted.clear(),
  });
  const resultOf = (index: number, worker = 'a') => ({
    ...{ id: batch.id, index, worker, nodes: [], locked: [], tries: 1, startedAtMs: 1, endedAtMs: 2 },
    outcome: { reference: image.image, index, status: 'failed', error: undefined } as never,
  });
  const report = async (index: number, signer = key): Promise<void> => {
    const envelope = await signResult(resultOf(index), signer);
    await ledger.addResult(batch, { field: String(index), envelope });
  };
  return { connection, ledger, batch, counted, doubted, follower, report, resultOf };
}

const indexes = (found: readonly FreshResult[]): readonly number[] => found.map(({ index }) => index);

test('each result is returned once, and one of this process is not read again', async (t) => {
  const at = await open(t);
  if (!at) return;
  const { follower, counted, report, resultOf } = at;
  await report(0);
  await report(1);
  follower.count('1', resultOf(1));
  const both = await Promise.all([follower.fresh(), follower.fresh()]);
  t.deepEqual(both.map(indexes), [[0], []]);
  t.deepEqual([...counted].sort(), [0, 1]);
});

test('a Redis that comes back without the last results is read from the beginning: none is missed, and what is lost does not count', async (t) => {
  const at = await open(t);
  if (!at) return;
  const { connection, batch, follower, counted, report } = at;
  const { redis } = connection;
  for (const index of [0, 1, 2]) await report(index);
  t.deepEqual(indexes(await follower.fresh()), [0, 1, 2]);
  // as a Redis that has lost its last second, and has got as many results since
  const ready = new Promise<void>((resolve) => void redis.once('ready', () => resolve()));
  await redis
    .multi()
    .rpop(`{longshore}:fleet:order:${batch.id}`)
    .hdel(`{longshore}:fleet:results:${batch.id}`, '2')
    .exec();
  await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'no').catch(() => undefined);
  await ready;
  await report(3);
  t.deepEqual(indexes(await follower.fresh()), [3]);
  t.deepEqual([...counted].sort(), [0, 1, 3]);
  await report(2);
  t.deepEqual(indexes(await follower.fresh()), [2]);
});

test('what does not count is said once, and looked at again: a worker may put its own there', async (t) => {
  const at = await open(t);
  if (!at) return;
  const { ledger, batch, follower, counted, doubted, report, resultOf } = at;
  await report(4, newSigningKey());
  t.deepEqual(await follower.fresh(), []);
  t.deepEqual(await follower.fresh(), []);
  t.deepEqual(doubted, ['4']);
  const envelope = await signResult(resultOf(4), key);
  t.true(await ledger.addResult(batch, { field: '4', envelope }, await follower.doubtedAt('4')));
  await until(async () => indexes(await follower.fresh()).includes(4));
  t.deepEqual([...counted], [4]);
});

test('of many that do not count, each is looked at again', async (t) => {
  const at = await open(t, 150);
  if (!at) return;
  const { ledger, batch, follower, doubted, report, resultOf } = at;
  for (let index = 0; index < 150; index += 1) await report(index, newSigningKey());
  await follower.fresh();
  t.is(doubted.length, 150);
  const envelope = await signResult(resultOf(149), key);
  t.true(await ledger.addResult(batch, { field: '149', envelope }, await follower.doubtedAt('149')));
  t.deepEqual([await follower.fresh(), await follower.fresh()].map(indexes).flat(), [149]);
});
