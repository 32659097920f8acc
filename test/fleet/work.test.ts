import test from 'ava';

import { openFleetPlace } from '../helpers/fleet.ts';
import { until } from '../helpers/until.ts';

test('two workers share a batch, which they end with: each image is brought once, and Redis keeps nothing of the queues', async (t) => {
  const at = await openFleetPlace(t, 40);
  if (!at) return;
  const { fleet, registry, images } = at;
  const batch = await fleet.submit(images);
  const workers = ['a', 'b'].map((name) => fleet.start({ name, dir: at.dir(name), only: 'batch' }));

  const results = await fleet.completed(batch);

  t.deepEqual(
    results.map(({ index, outcome, tries }) => [index, outcome.status, tries]),
    images.map((_, index) => [index, 'fetched', 1]),
  );
  t.is(registry.requests.filter(({ method, url }) => method === 'GET' && url.includes('/blobs/')).length, 80);
  t.deepEqual(await Promise.all(workers.map(({ ended }) => ended)), [0, 0]);
  const keys = () => fleet.redis.keys('{longshore}:*');
  await until(async () => !(await keys()).some((key) => key.endsWith(':limiter'))); // it goes within a second
  t.deepEqual(await keys(), [`{longshore}:filled:${batch.id}`]);
});

test('a batch that is cancelled ends: what runs is stopped, and nothing more is asked for', async (t) => {
  const at = await openFleetPlace(t, 30);
  if (!at) return;
  const { fleet, registry, images } = at;
  for (const path of Object.keys(registry.routes)) {
    if (path.includes('/manifests/1')) registry.routes[path] = { handler: () => undefined };
  }
  const batch = await fleet.submit(images);
  const worker = fleet.start({ name: 'a', dir: at.dir('a'), only: 'batch' });
  await worker.until('begin');
  await fleet.cancel(batch);

  t.is(await worker.ended, 0);
  t.deepEqual(await fleet.results(batch), []);
  const left = await fleet.redis.keys(`{longshore}:${batch.id}*`);
  t.deepEqual(
    left.filter((key) => !key.endsWith(':limiter')),
    [],
  ); // that one is gone within a second
});
