import test from 'ava';

import { addUp } from '../../src/bench/read-events.ts';
import type { BatchEvent, Outcome, OutcomeStatus } from '../../src/internal.ts';
import { phases } from '../../src/measure/phases.ts';
import { spansOf, statuses } from '../../src/report/data.ts';
import { madeEvents, madeRun } from '../helpers/made-run.ts';

const url = 'https://example.com/a.aci';

const read = (events: readonly (readonly [timeMs: number, event: BatchEvent])[]) => {
  const sum = addUp();
  for (const [timeMs, event] of events) sum.take(event, timeMs);
  return sum.read();
};
const started = (key: string): BatchEvent => ({ type: 'node-started', key, reference: key });
const first = (key: string): BatchEvent => ({ type: 'download-started', key, url, resumedFrom: 0 });
const last = (key: string): BatchEvent => ({ type: 'download-finished', key, url, bytes: 1 });
const ingested = (key: string, steps = {}): BatchEvent => ({ type: 'ingested', key, imageID: '', size: 1, steps });
const verified = (key: string): BatchEvent => ({ type: 'verified', key, signedBy: [], identities: [] });
const placed = (key: string, waitedMs: number): BatchEvent => ({ type: 'place-taken', key, host: 'h', waitedMs });
const ended = (key: string, status: OutcomeStatus = 'fetched', durationMs?: number): BatchEvent => ({
  ...{ type: 'node-finished', key },
  outcome: { reference: key, status, imageID: '', ...(durationMs !== undefined && { durationMs }) } as Outcome,
});

test('the phases of images that overlap add up', (t) => {
  const { phases: found } = read([
    [0, started('a')],
    [0, started('b')],
    [1000, first('a')],
    [2000, first('b')],
    [3000, last('a')],
    [3500, ingested('a')],
    [4000, verified('a')],
    [4000, last('b')],
    [4500, ended('a')],
    [4500, ingested('b')],
    [6000, ended('b')],
  ]);
  t.deepEqual(found, { wait: 0, resolve: 3, download: 4, verify: 1.5, commit: 2 });
});

test('time that an image waits for its dependencies is not part of its commit', (t) => {
  const { phases: found } = read([
    [0, started('a')],
    [1000, first('a')],
    [2000, last('a')],
    [3000, verified('a')],
    [90_000, ended('a', 'fetched', 3500)],
  ]);
  t.is(found.commit, 0.5);
});

test('waiting for a slot is distinguished from the rest of the time before the first byte', (t) => {
  const { phases: found } = read([
    [0, started('a')],
    [2000, placed('a', 1500)],
    [3000, first('a')],
    [3500, placed('a', 400)], // for one more blob, while others come
    [4000, last('a')],
    [4000, verified('a')],
    [4000, ended('a')],
  ]);
  t.deepEqual(found, { wait: 1.5, resolve: 1.5, download: 1, verify: 0, commit: 0 });
});

test('images that were in the store, or failed, and local files do not count', (t) => {
  const { phases: found } = read([
    [0, started('present')],
    [1000, ended('present', 'present', 1000)],
    [1000, started('failed')],
    [1000, started('file')],
    [1000, { type: 'place-taken', key: 'file', waitedMs: 100 }],
    [1500, first('failed')],
    [2000, ended('failed', 'failed', 2000)],
    [2500, ingested('file')],
    [3000, ended('file')],
    [3000, last('unknown')],
  ]);
  t.deepEqual(found, { wait: 0, resolve: 0, download: 0, verify: 0, commit: 0 });
});

test('images are counted in each stage for as long as they are in it', (t) => {
  const { depths } = read([
    [0, { type: 'batch-started', requests: 2, jobs: 16, jobsPerHost: 16 }],
    [0, started('a')],
    [0, started('b')],
    [100, first('a')],
    [200, first('b')],
    [300, last('a')],
    [400, last('b')],
    [600, ended('a')],
    [900, ended('b')],
    [1000, { type: 'warning', message: 'at the end of the batch' }],
  ]);
  t.deepEqual(depths, {
    waiting: { mean: 0.3, most: 2 },
    transferring: { mean: 0.4, most: 2 },
    working: { mean: 0.8, most: 2 },
  });
});

test('an image that is retried, present or failed is in one stage at a time, and in none at the end', (t) => {
  const { waiting, transferring, working } = read([
    [0, started('retried')],
    [10, first('retried')],
    [20, first('retried')],
    [30, started('present')],
    [40, ended('present', 'present')],
    [50, ended('retried')],
    [100, { type: 'warning', message: '' }],
  ]).depths;
  t.deepEqual(waiting, { mean: 0.2, most: 1 });
  t.deepEqual(transferring, { mean: 0.4, most: 1 });
  t.deepEqual(working, { mean: 0, most: 0 });
});

test('a batch without duration has no depth', (t) => {
  t.deepEqual(read([]).depths.waiting, { mean: 0, most: 0 });
  t.deepEqual(read([[5, started('a')]]).depths.waiting, { mean: 0, most: 1 });
});

test('the steps of all ingests add up, and unknown steps are ignored', (t) => {
  const { ingest } = read([
    [0, started('a')],
    [0, started('b')],
    [1, ingested('a', { wait: 20, read: 500, hash: 250, other: 9 })],
    [2, ingested('b', { read: 1500, inflate: 1000, check: 1, write: 2, sync: 3 })],
  ]);
  t.deepEqual(ingest, { wait: 0.02, read: 2, inflate: 1, hash: 0.25, check: 0.001, write: 0.002, sync: 0.003 });
});

test('the benchmark and the report see the same phases in the same events', (t) => {
  const options = { images: 300, needs: 3, failEvery: 40 };
  const told = read(madeEvents(options).map(({ atMs, event }) => [atMs, event] as const));
  const inReport = phases.map(() => 0);
  for (const [, , status, spans] of madeRun(options).rows) {
    if (statuses[status] !== 'fetched') continue;
    const [, ...own] = spansOf(spans); // the first is the wait for its turn
    for (const { phase, fromMs, toMs } of own) inReport[phase] = (inReport[phase] ?? 0) + (toMs - fromMs) / 1000;
  }
  for (const [at, phase] of phases.entries()) {
    if (phase !== 'needs')
      t.true(Math.abs(told.phases[phase] - (inReport[at] ?? 0)) < 1, `${phase}: ${inReport[at] ?? 0}`);
  }
  t.true(told.phases.download > 100);
});
