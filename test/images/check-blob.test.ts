import { setTimeout as sleep } from 'node:timers/promises';

import test from 'ava';

import { inParallel } from '../../src/images/check-blob.ts';

const never = new AbortController().signal;

test('every item is visited once, with its position, at most so many at a time', async (t) => {
  const seen: [string, number][] = [];
  let running = 0;
  let most = 0;
  const items = Array.from({ length: 50 }, (_, index) => `item ${index}`);
  const visit = async (item: string, position: number): Promise<void> => {
    most = Math.max(most, (running += 1));
    await sleep(position % 3);
    running -= 1;
    seen.push([item, position]);
  };
  await inParallel(items, 4, visit, never);
  t.is(most, 4);
  t.deepEqual(
    seen.sort((a, b) => a[1] - b[1]),
    items.map((item, position) => [item, position]),
  );
});

test('after a failure no new visit starts, and running ones end before the promise rejects', async (t) => {
  let started = 0;
  let ended = 0;
  const failed = Promise.withResolvers<undefined>();
  const visit = async (item: number): Promise<void> => {
    started += 1;
    if (item === 3) {
      failed.resolve(undefined);
      throw new Error('three');
    }
    await failed.promise;
    await sleep(1);
    ended += 1;
  };
  await t.throwsAsync(
    inParallel(
      Array.from({ length: 100 }, (_, index) => index),
      4,
      visit,
      never,
    ),
    { message: 'three' },
  );
  t.is(started, 4);
  t.is(ended, 3);
});

test('an abort ends the visits with the reason of the signal', async (t) => {
  const controller = new AbortController();
  let visits = 0;
  const visit = async (): Promise<void> => {
    visits += 1;
    if (visits === 5) controller.abort(new Error('enough'));
    await sleep(1);
  };
  await t.throwsAsync(inParallel(Array(1000).fill(0), 2, visit, controller.signal), { message: 'enough' });
  t.true(visits < 10);
});

test('without items there are no visits', async (t) => {
  await inParallel([], 3, () => Promise.reject(new Error('not called')), never);
  t.pass();
});
