import test from 'ava';

import { openStore } from '../../src/internal.ts';
import { openFleetPlace } from '../helpers/fleet.ts';
import { startPushTarget } from '../helpers/push-target.ts';
import { refusal } from '../helpers/registry.ts';
import { until } from '../helpers/until.ts';

test('what the store of a worker has is reported before anything is asked for, and an image that is not there fails once', async (t) => {
  const at = await openFleetPlace(t, 6);
  if (!at) return;
  const { fleet, registry, images } = at;
  const first = await fleet.submit(images, { name: 'first' });
  const worker = fleet.start({ name: 'a', dir: at.dir('a') });
  await fleet.completed(first);
  const asked = registry.requests.length;
  const missing = `docker://${registry.host}/app/missing:1`;
  const second = await fleet.submit([...images, missing], { name: 'second' });
  const results = await fleet.completed(second);

  t.deepEqual(
    results.map(({ outcome }) => outcome.error?.code ?? outcome.status),
    [...images.map(() => 'present'), 'HTTP_STATUS'],
  );
  t.true(registry.requests.slice(asked).every(({ url }) => url === '/v2/' || url.includes('/missing/')));
  t.is(await worker.kill('SIGTERM'), 0);
});

test('a worker pushes images to the target of the batch, unless it may not: then it says so and leaves them to others', async (t) => {
  const at = await openFleetPlace(t, 5);
  if (!at) return;
  const { fleet, images } = at;
  const target = await startPushTarget(t);
  const to = `docker://${target.host}/mirror`;
  const batch = await fleet.submit(images, { to });
  const barred = fleet.start({ name: 'a', dir: at.dir('a'), allowedTargets: [`docker://${target.host}/mirrors`] });
  await barred.until('warning', ({ message }) => message.includes('may not push to'));
  t.deepEqual(await fleet.results(batch), []);
  fleet.start({ name: 'b', dir: at.dir('b'), allowedTargets: [`docker://${target.host}`] });

  const results = await fleet.completed(batch);

  t.deepEqual(
    results.map(({ worker, pushed }) => [worker, pushed?.replace(/@.*/, '')]),
    images.map((_, index) => ['b', `${target.host}/mirror/app/${index}`]),
  );
});

test('an image that workers are lost with is given up after three, alone, and named; all others come, each with one result', async (t) => {
  const at = await openFleetPlace(t, 12);
  if (!at) return;
  const { fleet, registry, images } = at;
  const poison = 4;
  registry.routes[`/v2/app/${poison}/manifests/1`] = { handler: () => undefined }; // whoever asks is killed
  const batch = await fleet.submit(images);
  let lost = 0;
  let next = 0;
  const start = (): void => {
    const name = `worker-${next++}`;
    const worker = fleet.start({ name, dir: at.dir(name), lockMs: 2000 });
    worker.onLine((line) => {
      if (line.type !== 'begin' || line.reference !== images[poison]) return;
      lost += 1;
      void worker.kill().then(start);
    });
  };
  start();
  start();
  const results = await fleet.completed(batch);

  t.is(lost, 3);
  t.deepEqual(
    results.map(({ index, outcome }) => [index, outcome.error?.code ?? outcome.status]),
    images.map((_, index) => [index, index === poison ? 'WORKERS_LOST' : results[index]?.outcome.status]),
  );
  t.true(results.every(({ index, outcome }) => index === poison || ['fetched', 'present'].includes(outcome.status)));
  t.is(results[poison]?.tries, 3);
});

test('a worker that is stopped for longer than its lock is replaced; once it goes on, it leaves the image alone', async (t) => {
  const at = await openFleetPlace(t, 3);
  if (!at) return;
  const { fleet, registry, images } = at;
  const answers: (() => void)[] = [];
  const blob = Object.keys(registry.routes).find((path) => path.includes('/app/1/blobs/')) ?? '';
  const { body = '' } = registry.routes[blob] ?? {};
  registry.routes[blob] = {
    handler: (_, response) => void answers.push(() => response.writeHead(200).end(body)),
  };
  const batch = await fleet.submit(images);
  const stopped = fleet.start({ name: 'a', dir: at.dir('a'), lockMs: 1000 });
  await until(() => answers.length === 1);
  stopped.child.kill('SIGSTOP');
  fleet.start({ name: 'b', dir: at.dir('b'), lockMs: 1000 });
  await until(() => answers.length === 2);
  stopped.child.kill('SIGCONT');
  answers[1]?.();

  const results = await fleet.completed(batch);
  answers[0]?.();

  t.deepEqual(
    results.map(({ outcome }) => outcome.status),
    ['fetched', 'fetched', 'fetched'],
  );
  t.is(results[1]?.worker, 'b');
  t.is(await stopped.kill('SIGTERM'), 0);
});

test('SIGTERM gives back what runs: another worker takes it at once, and the try does not count', async (t) => {
  const at = await openFleetPlace(t, 2);
  if (!at) return;
  const { fleet, registry, images } = at;
  let isHeld = true;
  const [path = ''] = Object.keys(registry.routes).filter((path) => path.endsWith('/app/1/manifests/1'));
  const route = registry.routes[path] ?? {};
  registry.routes[path] = {
    ...route,
    handler: (_, response) => {
      if (!isHeld) response.writeHead(200, route.headers).end(route.body);
    },
  };
  const batch = await fleet.submit(images);
  const first = fleet.start({ name: 'a', dir: at.dir('a'), lockMs: 600_000 });
  await until(() => registry.requests.some(({ url }) => url === path));
  isHeld = false;
  t.is(await first.kill('SIGTERM'), 0);
  fleet.start({ name: 'b', dir: at.dir('b'), lockMs: 600_000 });

  const results = await fleet.completed(batch);

  t.deepEqual(
    results.map(({ outcome, tries }) => [outcome.status, tries]),
    [
      ['fetched', 1],
      ['fetched', 1],
    ],
  );
});

test('after a 429 no worker begins an image of the host until the time that it asked for is over', async (t) => {
  const at = await openFleetPlace(t, 24);
  if (!at) return;
  const { fleet, registry, images } = at;
  let refusedAtMs = 0;
  const times: number[] = [];
  const asked = new Set<string>();
  for (const [path, route] of Object.entries(registry.routes)) {
    if (!path.endsWith('/manifests/1')) continue;
    registry.routes[path] = {
      handler: (_, response) => {
        const isFirst = !asked.has(path);
        asked.add(path);
        if (refusedAtMs === 0 && asked.size === 4) {
          refusedAtMs = performance.now();
          const { status = 429, headers, body } = refusal(429, 'TOOMANYREQUESTS', 'slow down', { 'retry-after': '3' });
          response.writeHead(status, headers).end(body);
          return;
        }
        if (isFirst && refusedAtMs > 0) times.push(performance.now() - refusedAtMs);
        response.writeHead(200, route.headers).end(route.body);
      },
    };
  }
  const batch = await fleet.submit(images);
  for (const name of ['a', 'b']) fleet.start({ name, dir: at.dir(name), jobsPerHost: 2 });
  const results = await fleet.completed(batch);

  t.true(results.every(({ outcome }) => outcome.status === 'fetched'));
  const early = times.filter((ms) => ms < 2900);
  t.true(early.length <= 8, `${early.length} images were begun`); // those that the workers had taken
});

test('everywhere: each worker gets a copy of what the others brought, one that joins late too, and a tag that has moved changes nothing', async (t) => {
  const at = await openFleetPlace(t, 8);
  if (!at) return;
  const { fleet, registry, images } = at;
  const batch = await fleet.submit(images, { use: 'everywhere' });
  const [a, b] = ['a', 'b'].map((name) => fleet.start({ name, dir: at.dir(name) }));
  await until(async () => (await fleet.results(batch)).length >= 2 * images.length);
  registry.putImage('app/3', '1', { layers: ['another'] });
  const late = fleet.start({ name: 'late', dir: at.dir('late'), only: 'batch' });
  t.is(await late.ended, 0);
  t.deepEqual([await a?.kill('SIGTERM'), await b?.kill('SIGTERM')], [0, 0]);

  const digests = await Promise.all(
    ['a', 'b', 'late'].map(async (name) => {
      await using store = await openStore({ dir: at.dir(name) });
      const found = await Array.fromAsync(store.registryImages());
      return found.map(({ reference, manifest }) => `${reference} ${manifest.digest}`).toSorted();
    }),
  );
  t.is(digests[0]?.length, images.length);
  t.deepEqual(digests[1], digests[0]);
  t.deepEqual(digests[2], digests[0]);
});
