import test from 'ava';
import { Redis } from 'ioredis';

import type { ImageTools } from '../../src/fleet/bring.ts';
import { parseQueueAddress } from '../../src/fleet/redis.ts';
import { work } from '../../src/fleet/work.ts';
import type { WorkContext } from '../../src/fleet/work-on-batch.ts';
import { ImageError } from '../../src/internal.ts';
import { type FleetPlace, openFleetPlace, plainLedger } from '../helpers/fleet.ts';
import { until } from '../helpers/until.ts';

const stop = new AbortController().signal;

/** A worker in this process, whose tools are given. */
function workerOf(
  t: { teardown(end: () => void): void },
  { redis: { url } }: FleetPlace,
  find: (image: string) => ImageError | undefined,
  more: Partial<WorkContext> = {},
): {
  readonly context: WorkContext;
  readonly redis: Redis;
  readonly warnings: readonly string[];
  readonly forgotten: readonly string[];
} {
  const redis = new Redis(url, { maxRetriesPerRequest: null });
  t.teardown(() => redis.disconnect());
  const warnings: string[] = [];
  const forgotten: string[] = [];
  const findImages: ImageTools['findImages'] = (apps) => {
    const outcomes = Array.from(apps, ({ image: reference }) => {
      const error = find(reference);
      return { reference, status: error ? 'failed' : 'fetched', ...(error && { error }) } as never;
    });
    return Promise.resolve({ outcomes, totals: {} as never });
  };
  const context: WorkContext = {
    ...{ redis, address: parseQueueAddress(url, 'queue', true) },
    ledger: { ...plainLedger(redis, 'here'), forget: ({ name }) => void forgotten.push(name) },
    ...{ workerRun: 'here-1', allowedTargets: [], nowMs: Date.now },
    ...{ only: 'batch', concurrency: { images: 4, perHost: 4 }, restMs: 5 },
    timing: { lockMs: 2000, checkMs: 1000, retryMs: 50, laterMs: 50 },
    onWarning: (message) => void warnings.push(message),
    openTools: () =>
      Promise.resolve({
        findImages,
        pushImage: () => Promise.reject(new Error('nothing is pushed')),
        async [Symbol.asyncDispose]() {},
      }),
    ...more,
  };
  return { context, redis, warnings, forgotten };
}

test('a worker whose disk is full gives its images back, rests, and ends in the end; to the images that does not count', async (t) => {
  const at = await openFleetPlace(t, 6);
  if (!at) return;
  const batch = await at.fleet.submit(at.images);
  const noRoom = () => new ImageError('STORE_FULL', 'no room', { path: '/var/lib/longshore' });
  const full = workerOf(t, at, noRoom);
  await t.throwsAsync(work(full.context, stop), { code: 'STORE_FULL' });
  t.is(full.warnings.filter((text) => text.startsWith('this worker takes no images for ')).length, 3);
  t.deepEqual(await at.fleet.results(batch), []);

  const good = workerOf(t, at, () => undefined);
  t.is(await work(good.context, stop), 'complete');

  t.deepEqual(
    (await at.fleet.results(batch)).map(({ index, outcome, tries }) => [index, outcome.status, tries]),
    at.images.map((_, index) => [index, 'fetched', 1]),
  );
});

test('an image that no worker has room for fails, once enough of them have given it back', async (t) => {
  const at = await openFleetPlace(t, 3);
  if (!at) return;
  const [large = ''] = at.images;
  const batch = await at.fleet.submit(at.images);
  const small = workerOf(t, at, (image) =>
    image === large ? new ImageError('STORE_FULL', 'no room', { path: '/var/lib/longshore' }) : undefined,
  );
  for (let starts = 0; starts < 8; starts += 1) {
    const end = await work(small.context, stop).catch((error: ImageError) => error.code);
    if (end === 'complete') break;
    t.is(end, 'STORE_FULL');
  }
  const results = await at.fleet.results(batch);
  t.deepEqual(
    results.map(({ outcome }) => outcome.error?.code ?? outcome.status),
    ['STORE_FULL', 'fetched', 'fetched'],
  );
});

test('a batch that is asked for and is not there is waited for only so long, which is said', async (t) => {
  const at = await openFleetPlace(t, 1);
  if (!at) return;
  let now = Date.now();
  const { context, warnings } = workerOf(t, at, () => undefined, { nowMs: () => now });
  const waiting = work(context, stop);
  await until(() => warnings.length === 1);
  t.is(warnings[0], 'the queue has no batch batch yet: it is waited for, for 60 min at most');
  now += 60 * 60_000;
  await t.throwsAsync(waiting, { code: 'BATCH_NOT_FOUND', message: 'the queue has had no batch batch for 60 min' });
});

test('a batch that goes away while it is worked on ends the work, and nothing is left of its queues', async (t) => {
  const at = await openFleetPlace(t, 3);
  if (!at) return;
  await at.fleet.submit(at.images);
  const busy = () => new ImageError('NETWORK', 'no answer', { url: 'http://a/', reason: 'unreachable' });
  const long = { lockMs: 2000, checkMs: 1000, retryMs: 600_000, laterMs: 50 };
  const { context, redis, forgotten } = workerOf(t, at, busy, { timing: long });
  const working = work(context, stop);
  await until(async () => (await redis.keys('{longshore}:*:delayed')).length > 0);
  await redis.hdel('batches', 'batch');
  await t.throwsAsync(working, { code: 'BATCH_NOT_FOUND' });
  const left = (await redis.keys('{longshore}:*')).filter((key) => !/:limiter$|:filled:|:reconciling:/.test(key));
  t.deepEqual(left, ['{longshore}:fleet:queues']); // until another worker has looked at them once more
  t.deepEqual(forgotten, ['batch']);
});

test('what another program has at a key of the queue is said: that is no fault of ours', async (t) => {
  const at = await openFleetPlace(t, 1);
  if (!at) return;
  await at.fleet.submit(at.images);
  const { context, redis } = workerOf(t, at, () => undefined);
  await redis.set('{longshore}:fleet:queues', 'something');
  const warned = Promise.withResolvers<string>();
  const ending = new AbortController();
  const working = work({ ...context, only: undefined, onWarning: warned.resolve }, ending.signal);
  t.regex(await warned.promise, /^the batch batch is left to others: redis:.* has something else where a fleet has/);
  ending.abort();
  t.is(await working, 'stopped');
  await at.fleet.submit(at.images, { name: 'other' });
  await t.throwsAsync(work({ ...context, only: 'other' }, stop), { code: 'QUEUE_UNAVAILABLE' });
});

test('queues that a worker left behind are removed by the next one', async (t) => {
  const at = await openFleetPlace(t, 1);
  if (!at) return;
  const id = 'a'.repeat(32);
  const { context, redis } = workerOf(t, at, () => undefined);
  await redis.zadd('{longshore}:fleet:queues', 1, `${id}.host`, 1, 'odd');
  await redis.hset(`{longshore}:${id}.host:meta`, 'concurrency', 1);
  await redis.hset(`{longshore}:runs:${id}`, '0', 'run');
  const batch = await at.fleet.submit(at.images);
  t.is(await work(context, stop), 'complete');
  await until(async () => (await redis.keys(`{longshore}:*${id}*`)).length === 0);
  t.is((await at.fleet.results(batch)).length, 1);
});
