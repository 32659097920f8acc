import { setTimeout } from 'node:timers/promises';

import test from 'ava';

import { createGroup } from '../../../../src/store/index/writer/group.ts';

test('items that arrive together run together, and never more than 250', async (t) => {
  const groups: number[][] = [];
  const group = createGroup<number>((items) => groups.push([...items]));
  for (let item = 0; item < 600; item += 1) group.add(item);
  t.deepEqual(
    groups.map(({ length }) => length),
    [250, 250],
  );

  await setTimeout(60);
  t.deepEqual(
    groups.map(({ length }) => length),
    [250, 250, 100],
  );
  t.deepEqual(
    groups.flat(),
    Array.from({ length: 600 }, (_, item) => item),
  );
});

test('after a pause an item does not wait, under load it waits for others', async (t) => {
  const ran: number[] = [];
  const group = createGroup<number>(() => ran.push(performance.now()));
  const startedAt = performance.now();
  while (ran.length < 8) {
    group.add(1);
    await setTimeout(1);
  }
  const passedMs = performance.now() - startedAt;
  t.true(passedMs >= 7 * 19, `8 groups in ${passedMs} ms`);
});

test('a flush runs the collected items at once, and nothing twice', async (t) => {
  const items: number[] = [];
  const group = createGroup<number>((more) => items.push(...more));
  group.add(1);
  group.flush();
  t.deepEqual(items, [1]);
  group.flush();
  await setTimeout(40);
  t.deepEqual(items, [1]);
});
