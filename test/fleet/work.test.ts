import { join } from 'node:path';

import test from 'ava';

import { openFleet } from '../helpers/fleet.ts';
import { startRedis } from '../helpers/redis.ts';
import { startRegistry } from '../helpers/registry.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

test('two workers share a batch: each image is brought once, by one of them', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const registry = await startRegistry(t);
  const directory = await temporaryDirectory(t);
  const images = Array.from({ length: 40 }, (_, index) => {
    registry.putImage(`app/${index}`, '1', { layers: [Buffer.alloc(20_000, index)] });
    return `docker://${registry.host}/app/${index}:1`;
  });
  const fleet = openFleet(t, redis);
  const batch = await fleet.submit(images);
  const workers = ['a', 'b'].map((name) => fleet.start({ name, dir: join(directory, name), only: 'batch' }));

  const results = await fleet.completed(batch);

  t.deepEqual(
    results.map(({ index }) => index),
    [...images.keys()],
  );
  t.deepEqual([...new Set(results.map(({ outcome }) => outcome.status))], ['fetched']);
  t.log(
    Object.fromEntries(
      Map.groupBy(results, ({ worker }) => worker)
        .entries()
        .map(([w, r]) => [w, r.length]),
    ),
  );
  t.deepEqual(await Promise.all(workers.map(({ ended }) => ended)), [0, 0]);
  t.log(workers.map(({ lines }) => lines.filter(({ type }) => type !== 'begin')));
  t.log(await fleet.redis.keys('*'));
});
