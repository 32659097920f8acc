import { createHash } from 'node:crypto';

import test, { type ExecutionContext } from 'ava';

import type { Batch } from '../../src/fleet/batch.ts';
import { acceptBatch } from '../../src/fleet/accept.ts';
import { openLedger } from '../../src/fleet/ledger.ts';
import { connectQueue, parseQueueAddress } from '../../src/fleet/redis.ts';
import { acceptedKey, newSigningKey } from '../../src/image/sigstore/dsse.ts';
import { startRedis } from '../helpers/redis.ts';

const day = 24 * 60 * 60 * 1000;
const key = newSigningKey();
const keys = acceptedKey(key);
const patient = new AbortController().signal;

function batchOf(name: string, part: Partial<Batch> = {}): Batch {
  const now = Date.now();
  return {
    id: createHash('md5').update(name).digest('hex'),
    name,
    createdAtMs: now,
    expiresAtMs: now + day,
    use: 'shard',
    scoped: false,
    noOverwrite: false,
    withDeps: true,
    platform: [],
    referrers: false,
    perHost: 64,
    keepResultsMs: day,
    images: [{ image: 'docker://registry.test/app:1', type: 'docker' }],
    ...part,
  };
}

async function opened(t: ExecutionContext) {
  const server = await startRedis(t);
  if (!server) return undefined;
  const connect = async () => {
    const warnings: string[] = [];
    const address = parseQueueAddress(server.url, '--queue', false);
    const connection = await connectQueue(address, { isPatient: false, onWarning: (one) => warnings.push(one) });
    const ledger = openLedger(connection, Date.now);
    t.teardown(async () => {
      await ledger[Symbol.asyncDispose]();
      await connection[Symbol.asyncDispose]();
    });
    return { ledger, connection, warnings };
  };
  return { server, connect, ...(await connect()) };
}

test('a batch that was submitted is there for others, by its name', async (t) => {
  const fleet = await opened(t);
  if (!fleet) return;
  const batch = batchOf('nightly');
  const other = await fleet.connect();
  const news = other.ledger.news(patient);
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
  await ledger.submit(batchOf('a'), key);
  const same = batchOf('b');
  await ledger.submit(same, key);
  await ledger.submit(same, key);
  await t.throwsAsync(ledger.submit(batchOf('a', { id: 'f'.repeat(32) }), key), {
    name: 'ImageError',
    code: 'BATCH_EXISTS',
  });
  t.deepEqual([...(await ledger.names())].sort(), ['a', 'b']);
});
