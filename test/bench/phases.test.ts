import test from 'ava';

import { addPhases, type TimedEvent } from '../../src/bench/phases.ts';

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
