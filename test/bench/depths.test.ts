import test from 'ava';

import { addDepths } from '../../src/bench/depths.ts';

const read = (events: readonly (readonly [timeMs: number, type: string, key?: string])[]) => {
  const depths = addDepths();
  for (const [timeMs, type, key] of events) depths.add({ timeMs, type, key });
  return depths.read();
};

test('images are counted in each stage for as long as they are there', (t) => {
  const depths = read([
    [0, 'batch-started'],
    [0, 'node-started', 'a'],
    [0, 'node-started', 'b'],
    [100, 'download-started', 'a'],
    [200, 'download-started', 'b'],
    [300, 'download-finished', 'a'],
    [400, 'download-finished', 'b'],
    [600, 'node-finished', 'a'],
    [900, 'node-finished', 'b'],
    [1000, 'batch-finished'],
  ]);
  t.deepEqual(depths, {
    waiting: { mean: 0.3, most: 2 },
    transferring: { mean: 0.4, most: 2 },
    working: { mean: 0.8, most: 2 },
  });
});

test('an image that is retried, present or failed is in one stage at a time, and in none at the end', (t) => {
  const { waiting, transferring, working } = read([
    [0, 'node-started', 'retried'],
    [10, 'download-started', 'retried'],
    [20, 'download-started', 'retried'],
    [30, 'node-started', 'present'],
    [40, 'node-finished', 'present'],
    [50, 'node-finished', 'retried'],
    [100, 'warning'],
  ]);
  t.deepEqual(waiting, { mean: 0.2, most: 1 });
  t.deepEqual(transferring, { mean: 0.4, most: 1 });
  t.deepEqual(working, { mean: 0, most: 0 });
});

test('a batch of no time has no depth', (t) => {
  t.deepEqual(read([]).waiting, { mean: 0, most: 0 });
  t.deepEqual(read([[5, 'node-started', 'a']]).waiting, { mean: 0, most: 1 });
});
