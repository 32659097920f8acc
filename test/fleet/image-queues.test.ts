import test from 'ava';
import { Redis } from 'ioredis';

import { type Ending, type ImageQueues, openImageQueues, type Taken } from '../../src/fleet/image-queues.ts';
import { runsKey } from '../../src/fleet/ledger.ts';
import { openFleetPlace } from '../helpers/fleet.ts';
import { until } from '../helpers/until.ts';

test('an image that a lost worker held and had not begun has no loss; one that it had begun has one for each', async (t) => {
  const at = await openFleetPlace(t, 2);
  if (!at) return;
  const batch = await at.fleet.submit(at.images);
  const [held, begun] = [0, 1];
  const losses: Record<number, number[]> = { [held]: [], [begun]: [] };
  const { promise: never } = Promise.withResolvers<Ending>();

  /** Takes both images, and is lost once it has them, unless it is the last one. */
  const open = async (workerRun: string, work: (image: Taken) => Promise<Ending>): Promise<[ImageQueues, Redis]> => {
    const redis = new Redis(at.redis.url, { maxRetriesPerRequest: null });
    redis.on('error', () => undefined); // BullMQ tells it of what it does when the connection is gone
    t.teardown(() => redis.disconnect());
    const concurrency = { images: 2, perHost: 2 };
    const timing = { lockMs: 600, checkMs: 300, retryMs: 50, laterMs: 50 };
    const queues = await openImageQueues({ redis, batch, workerRun, concurrency, timing });
    await queues.add([held, begun]);
    queues.take(work);
    return [queues, redis];
  };
  for (const run of ['a', 'b']) {
    let count = 0;
    const [queues, redis] = await open(run, async ({ index, losses: before }) => {
      losses[index]?.push(before);
      if (index === begun) await at.fleet.redis.hset(runsKey(batch.id), String(index), run);
      count += 1;
      return never;
    });
    await until(() => count === 2);
    await queues.limit('none'); // nothing is taken by what is left of it
    redis.disconnect();
  }
  const [last] = await open('c', ({ index, losses: before }) => {
    losses[index]?.push(before);
    return Promise.resolve('done');
  });
  await until(() => losses[held]?.length === 3 && losses[begun]?.length === 3);
  await last[Symbol.asyncDispose]();

  t.deepEqual(losses, { [held]: [0, 0, 0], [begun]: [0, 1, 2] });
});
