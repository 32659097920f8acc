import test from 'ava';

import { addPhases, type TimedEvent, addDepths, addIngests } from '../../src/bench/phases.ts';

const sums = (events: readonly (readonly [timeMs: number, type: string, key: string, durationMs?: number])[]) => {
  const phases = addPhases();
  for (const [timeMs, type, key, durationMs] of events) {
    const event: TimedEvent = { timeMs, type, key, outcome: { durationMs } };
    phases.add(event);
  }
  return phases.sums();
};

test('the phases of images that overlap add up', (t) => {
  const found = sums([
    [0, 'node-started', 'a'],
    [0, 'node-started', 'b'],
    [1000, 'download-started', 'a'],
    [2000, 'download-started', 'b'],
    [3000, 'download-finished', 'a'],
    [3500, 'ingested', 'a'],
    [4000, 'verified', 'a'],
    [4000, 'download-finished', 'b'],
    [4500, 'node-finished', 'a'],
    [4500, 'ingested', 'b'],
    [6000, 'node-finished', 'b'],
  ]);
  t.deepEqual(found, { wait: 0, resolve: 3, download: 4, verify: 1.5, commit: 2 });
});

test('an image that waits for what it needs is not committed for as long', (t) => {
  const found = sums([
    [0, 'node-started', 'a'],
    [1000, 'download-started', 'a'],
    [2000, 'download-finished', 'a'],
    [3000, 'verified', 'a'],
    [90_000, 'node-finished', 'a', 3500],
  ]);
  t.is(found.commit, 0.5);
});

test('waiting for a place is told apart from what else happens before the first byte', (t) => {
  const phases = addPhases();
  phases.add({ timeMs: 0, type: 'node-started', key: 'a' });
  phases.add({ timeMs: 2000, type: 'place-taken', key: 'a', waitedMs: 1500 });
  phases.add({ timeMs: 3000, type: 'download-started', key: 'a' });
  phases.add({ timeMs: 3500, type: 'place-taken', key: 'a', waitedMs: 400 }); // for one more blob, while others come
  phases.add({ timeMs: 4000, type: 'download-finished', key: 'a' });
  phases.add({ timeMs: 4000, type: 'verified', key: 'a' });
  phases.add({ timeMs: 4000, type: 'node-finished', key: 'a' });
  t.deepEqual(phases.sums(), { wait: 1.5, resolve: 1.5, download: 1, verify: 0, commit: 0 });
});

test('images that the store had, or that failed, count for nothing', (t) => {
  const found = sums([
    [0, 'node-started', 'present'],
    [1000, 'node-finished', 'present', 1000],
    [0, 'node-started', 'failed'],
    [1000, 'download-started', 'failed'],
    [2000, 'node-finished', 'failed', 2000],
    [3000, 'download-finished', 'unknown'],
  ]);
  t.deepEqual(found, { wait: 0, resolve: 0, download: 0, verify: 0, commit: 0 });
});

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

test('the steps of all ingests add up, and what is no step is passed over', (t) => {
  const ingests = addIngests();
  ingests.add({ type: 'node-started', timeMs: 0, key: 'a' });
  ingests.add({ type: 'ingested', timeMs: 1, key: 'a', steps: { wait: 20, read: 500, hash: 250, other: 9 } });
  ingests.add({
    type: 'ingested',
    timeMs: 2,
    key: 'b',
    steps: { read: 1500, inflate: 1000, check: 1, write: 2, sync: 3 },
  });
  t.deepEqual(ingests.sums(), { wait: 0.02, read: 2, inflate: 1, hash: 0.25, check: 0.001, write: 0.002, sync: 0.003 });
});
