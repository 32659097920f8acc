import test from 'ava';

import { type Ending, openImageQueues, type Taken } from '../../src/fleet/image-queues.ts';
import { runsKey } from '../../src/fleet/ledger.ts';
import { openFleetPlace } from '../helpers/fleet.ts';
import { until } from '../helpers/until.ts';

test('an image that a lost worker held and had not begun has no loss; one that it had begun has one for each', async (t) => {
  const at = await openFleetPlace(t, 2);
  if (!at) return;
  const { redis } = at.fleet;
  const batch = await at.fleet.submit(at.images);
  const [held, begun] = [0, 1];
  const losses: Record<number, number[]> = { [held]: [], [begun]: [] };
  const { promise: atTheEnd, resolve: end } = Promise.withResolvers<Ending>();
  await using resources = new AsyncDisposableStack();

  const open = async (workerRun: string, work: (image: Taken) => Promise<Ending>) => {
    const concurrency = { images: 2, perHost: 2 };
    const timing = { lockMs: 600, checkMs: 300, retryMs: 50, laterMs: 50 };
    const queues = resources.use(await openImageQueues({ redis, batch, workerRun, concurrency, timing }));
    await queues.add([held, begun]);
    queues.take(async (image) => {
      losses[image.index]?.push(image.losses);
      return work(image);
    });
    return queues;
  };
  for (const [times, run] of ['a', 'b'].entries()) {
    const queues = await open(run, async ({ index }) => {
      if (index === begun) await redis.hset(runsKey(batch.id), String(index), run);
      return atTheEnd;
    });
    await until(() => losses[held]?.length === times + 1 && losses[begun]?.length === times + 1);
    await until(async () => (await redis.hget(runsKey(batch.id), String(begun))) === run);
    await queues.limit('none');
    await redis.del(await redis.keys('*:lock')); // as if it were gone
  }
  await open('c', () => Promise.resolve('done'));
  await until(() => losses[held]?.length === 3 && losses[begun]?.length === 3);
  end('later');

  t.deepEqual(losses, { [held]: [0, 0, 0], [begun]: [0, 1, 2] });
});
