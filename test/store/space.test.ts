import test from 'ava';

import { createSpace, indexBytes } from '../../src/store/space.ts';

const MiB = 1024 * 1024;

/** A disk with so many bytes free beyond those that the index may need, on a clock of its own. */
function disk(free: number, stored: Readonly<Record<string, number>> = {}) {
  const state = { free: free + indexBytes, nowMs: 0, measured: 0 };
  const space = createSpace({
    path: '/store',
    nowMs: () => state.nowMs,
    measure: () => {
      state.measured += 1;
      return Promise.resolve(state.free);
    },
    storedOf: (key) => Promise.resolve(stored[key] ?? 0),
  });
  const reserve = (parts: Readonly<Record<string, number>>) => space.reserve(new Map(Object.entries(parts)));
  return { ...space, reserve, state };
}

test('what is reserved is not there for others, until it is released, and what did not fit is added up', async (t) => {
  const { reserve } = disk(10);
  const first = await reserve({ a: 6 });
  const refused = await t.throwsAsync<Error & { code?: string; details?: object }>(reserve({ b: 5 }));
  t.is(refused?.code, 'STORE_FULL');
  t.deepEqual(refused?.details, { path: '/store', free: 4, needed: 5 });
  const error = await t.throwsAsync<Error & { details?: object }>(reserve({ c: 7 }));
  t.deepEqual(error?.details, { path: '/store', free: 4, needed: 12 });
  const second = await reserve({ d: 4 });
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  using _third = await reserve({ b: 6 });
  await t.throwsAsync(reserve({ e: 1 }));
  second[Symbol.dispose]();
});

test('a part counts once, until the last that reserved it has released it', async (t) => {
  const { reserve } = disk(10);
  const [one, other] = [await reserve({ shared: 6, a: 2 }), await reserve({ shared: 6, b: 2 })];
  await t.throwsAsync(reserve({ c: 1 }));
  one[Symbol.dispose]();
  await t.throwsAsync(reserve({ c: 3 }));
  other[Symbol.dispose]();
  await t.notThrowsAsync(reserve({ c: 10 }));
});

test('all parts of an image are reserved or none', async (t) => {
  const { reserve } = disk(10);
  await t.throwsAsync(reserve({ a: 8, b: 8 }));
  await t.notThrowsAsync(reserve({ c: 10 }));
});

test('what has been written no longer counts, since the disk shows it', async (t) => {
  const { reserve, state, ...space } = disk(10);
  using _held = await reserve({ a: 8 });
  space.remains('a', 2);
  state.free -= 6;
  await t.throwsAsync(reserve({ b: 3 }));
  await t.notThrowsAsync(reserve({ b: 2 }));
});

test('what an earlier download has left need not be written again', async (t) => {
  const { reserve } = disk(10, { a: 25 });
  await t.throwsAsync(reserve({ a: 36 }));
  await t.notThrowsAsync(reserve({ a: 35 }));
});

test('the disk is asked once for many images, again after a while or after much, and before anything is refused', async (t) => {
  const { reserve, state } = disk(1000 * MiB);
  for (let at = 0; at < 50; at += 1) await reserve({ [String(at)]: MiB });
  t.is(state.measured, 1);
  await reserve({ large: 20 * MiB });
  await reserve({ more: 1 });
  t.is(state.measured, 2);
  state.nowMs += 101;
  await reserve({ later: 1 });
  t.is(state.measured, 3);
  await t.throwsAsync(reserve({ huge: 2000 * MiB }));
  t.is(state.measured, 4);
});
