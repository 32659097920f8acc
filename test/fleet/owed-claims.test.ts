import { randomBytes, randomUUID } from 'node:crypto';

import test, { type ExecutionContext } from 'ava';
import { Redis } from 'ioredis';

import { type ClaimedBatch, openClaims } from '../../src/fleet/blob-claims.ts';
import { parseDigest } from '../../src/image/digest.ts';
import { startRedis } from '../helpers/redis.ts';
import { until } from '../helpers/until.ts';

const signal = AbortSignal.timeout(600_000);
const timing = { lifeMs: 600_000, renewMs: 50, missedMs: 0, pollMs: 20, stuckMs: 600_000 };
const blob = { digest: parseDigest(`sha256:${'1'.repeat(64)}`), size: 1 };
const newBatch = (): ClaimedBatch => ({ id: randomBytes(16).toString('hex'), expiresAtMs: Date.now() + 600_000 });
const keyOf = ({ id }: ClaimedBatch): string => `{longshore}:fleet:claims:${id}`;

function openWorker(t: ExecutionContext, port: number, worker: string) {
  const redis = new Redis({ port, host: '127.0.0.1' });
  const claims = openClaims({ redis, worker, run: randomUUID(), nowMs: Date.now, timing });
  t.teardown(async () => {
    await claims[Symbol.asyncDispose]();
    redis.disconnect();
  });
  const begin = async (batch: ClaimedBatch) => {
    const image = claims.of(batch, 'served').image();
    const reference = { host: 'registry.example', repository: worker };
    return { image, blobs: await image.sharing.begin({ key: '', reference }, [blob], signal) };
  };
  return { redis, claims, begin };
}

test('what a batch cannot give back keeps no other one from doing so, and a batch that is over is forgotten', async (t) => {
  const server = await startRedis(t);
  if (!server) return;
  const [a, b] = ['a', 'b'].map((name) => openWorker(t, server.port, name));
  if (!a || !b) return t.fail();
  const [broken, good] = [newBatch(), newBatch()];
  const [first, second] = [await a.begin(broken), await a.begin(good)];
  await a.redis.set(keyOf(broken), 'something else');
  await first.image.end(true);
  await a.redis.multi().rename(keyOf(good), 'aside').set(keyOf(good), 'something else').exec();
  await second.image.end(true);
  await a.redis.rename('aside', keyOf(good));

  const waiting = await b.begin(good);
  let mayAsk = false;
  const asking = waiting.blobs.mayAsk(blob.digest, signal).then(() => (mayAsk = true));
  await until(() => mayAsk);
  await asking;
  t.is(b.claims.of(good, 'served').placeOf(blob.digest)?.worker, 'a');

  b.claims.forget(good.id);
  t.is(b.claims.of(good, 'served').placeOf(blob.digest), undefined);
});
