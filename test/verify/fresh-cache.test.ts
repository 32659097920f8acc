import test from 'ava';

import { createFreshCache } from '../../src/verify/fresh-cache.ts';

function counting() {
  const clock = { ms: 0 };
  const reads: string[] = [];
  const read = (key: string): Promise<number> => {
    reads.push(key);
    return key === 'bad' ? Promise.reject(new Error('bad')) : Promise.resolve(reads.length);
  };
  return { clock, reads, cache: createFreshCache(1_000, read, () => clock.ms) };
}

test('many who ask at once, and again while it is fresh, share one read', async (t) => {
  const { clock, reads, cache } = counting();
  t.deepEqual(await Promise.all(['a', 'a', 'b'].map(cache.get)), [1, 1, 2]);
  clock.ms = 999;
  t.is(await cache.get('a'), 1);
  t.deepEqual(reads, ['a', 'b']);
});

test('what is no longer fresh, or was forgotten, is read again', async (t) => {
  const { clock, cache } = counting();
  t.is(await cache.get('a'), 1);
  clock.ms = 1_000;
  t.is(await cache.get('a'), 2);
  cache.clear();
  t.is(await cache.get('a'), 3);
});

test('a failure is not kept', async (t) => {
  const { reads, cache } = counting();
  await t.throwsAsync(cache.get('bad'));
  await t.throwsAsync(cache.get('bad'));
  t.is(reads.length, 2);
});

test('its memory is bounded', async (t) => {
  const { reads, cache } = counting();
  for (let index = 0; index < 5_000; index++) await cache.get(String(index));
  await cache.get('4999');
  t.is(reads.length, 5_000);
  await cache.get('0');
  t.is(reads.length, 5_001);
});
