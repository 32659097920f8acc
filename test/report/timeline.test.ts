import test from 'ava';
import fc from 'fast-check';

import { ImageError } from '../../src/errors.ts';
import type { BatchEvent, Outcome } from '../../src/internal.ts';
import { phases } from '../../src/measure/phases.ts';
import { spansOf, statuses } from '../../src/report/data.ts';
import { createTimeline } from '../../src/report/timeline.ts';
import { madeRun } from '../helpers/made-run.ts';

const startMs = Date.UTC(2026, 0, 1);
const done = (parts: Partial<Outcome> = {}): Outcome =>
  ({ reference: 'a', status: 'fetched', imageID: 'sha512-00', ...parts }) as Outcome;

function record(events: readonly (readonly [atMs: number, event: BatchEvent])[], most?: number) {
  const timeline = createTimeline(startMs, most);
  for (const [atMs, event] of events) timeline.add(event, startMs + atMs);
  return timeline.read(startMs + Math.max(0, ...events.map(([atMs]) => atMs)));
}

/** Phases of one row with how long they took, in order. */
function phasesOf(spans: readonly number[] | undefined): readonly string[] {
  return spansOf(spans ?? []).map(({ phase, fromMs, toMs }) => `${phases[phase] ?? ''} ${toMs - fromMs}`);
}

const url = 'https://example.com/a.aci';
const life: readonly (readonly [number, BatchEvent])[] = [
  [0, { type: 'node-added', key: 'a', reference: 'a' }],
  [10, { type: 'node-started', key: 'a', reference: 'a' }],
  [50, { type: 'place-taken', key: 'a', host: 'h', waitedMs: 25 }],
  [80, { type: 'download-started', key: 'a', url, resumedFrom: 100 }],
  [90, { type: 'retry', key: 'a', url, attempt: 1, delayMs: 500, code: 'STALLED' }],
  [120, { type: 'download-progress', key: 'a', bytes: 500 }],
  [200, { type: 'download-finished', key: 'a', url, bytes: 500 }],
  [230, { type: 'ingested', key: 'a', imageID: 'sha512-00', size: 900 }],
  [240, { type: 'verified', key: 'a', signedBy: ['ff'], identities: ['A <a@b>'] }],
  [300, { type: 'node-finished', key: 'a', outcome: done({ durationMs: 260 }) }],
];

test('an image waits, is found, downloaded, verified and committed, and then waits for its dependencies', (t) => {
  const { rows, signers } = record(life);
  t.deepEqual(phasesOf(rows[0]?.[3]), [
    ...['wait 10', 'resolve 15', 'wait 25', 'resolve 30', 'download 120', 'verify 40', 'commit 30', 'needs 30'],
  ]);
  t.deepEqual([rows[0]?.[4], rows[0]?.[5], rows[0]?.[7]], [[90], 1, 900]);
  t.deepEqual([rows[0]?.[11], signers], [[0], ['ff A <a@b>']]);
});

test('of an image that is kept in both forms the page shows the bytes of both, each once', (t) => {
  const ingested = (imageID: string, size: number) => ({ type: 'ingested', key: 'a', imageID, size }) as const;
  const { rows } = record([
    ...life.slice(0, 7),
    [210, ingested('sha512-00', 800)],
    [220, ingested('sha512-01', 900)],
    [230, ingested('sha256:00', 70)],
    [300, { type: 'node-finished', key: 'a', outcome: done() }],
  ]);
  t.is(rows[0]?.[7], 970);
});

test('a local file is in verification from when it has its slot', (t) => {
  const { rows } = record([
    [0, { type: 'node-added', key: 'a', reference: '/a.aci' }],
    [0, { type: 'node-started', key: 'a', reference: '/a.aci' }],
    [20, { type: 'place-taken', key: 'a', waitedMs: 20 }],
    [50, { type: 'ingested', key: 'a', imageID: 'sha512-00', size: 9 }],
    [60, { type: 'node-finished', key: 'a', outcome: done() }],
  ]);
  t.deepEqual(phasesOf(rows[0]?.[3]), ['wait 20', 'verify 30', 'commit 10']);
});

test('an image without an outcome at the end of the run is open until then', (t) => {
  const { rows, durationMs, totals } = record(life.slice(0, 6));
  t.deepEqual([statuses[rows[0]?.[2] ?? 0], durationMs, totals], ['open', 120, undefined]);
  t.is(phasesOf(rows[0]?.[3]).at(-1), 'download 40');
});

test('rows are in the order of the tree, in whatever order they became known', (t) => {
  const added = (key: string, parent?: string): readonly [number, BatchEvent] => [
    0,
    { type: 'node-added', key, reference: key, ...(parent !== undefined && { parent }) },
  ];
  const { rows } = record([added('a'), added('b'), added('a1', 'a'), added('b1', 'b'), added('a11', 'a1')]);
  t.deepEqual(
    rows.map(([reference, parent]) => [reference, parent]),
    [
      ['a', -1],
      ['a1', 0],
      ['a11', 1],
      ['b', -1],
      ['b1', 3],
    ],
  );
});

test('of more images than are kept, all failed ones are there, and all are counted', (t) => {
  const { rows, nodes, counts, series } = madeRun({ images: 2000, failEvery: 100, most: 300 });
  t.deepEqual([rows.length, nodes, counts.failed, counts.fetched], [300, 2000, 20, 1980]);
  t.is(rows.filter(([, , status]) => status === 2).length, 20);
  const all = madeRun({ images: 2000, failEvery: 100 });
  t.deepEqual(series, all.series, 'the charts are of all images');
  const work = (row: readonly number[]): number => (row.at(-1) ?? 0) - (row[0] ?? 0);
  const slowest = all.rows.map((row) => work(row[3])).sort((a, b) => b - a);
  t.true(rows.some((row) => work(row[3]) === slowest[0]));
});

test('credentials and queries of URLs, and control characters, are removed', (t) => {
  const reference = 'https://me:secret@example.com/a.aci?token=1';
  const error = new ImageError('NETWORK', 'a\u001b[31mb\u202e', { url: '' });
  const { rows } = record([
    [0, { type: 'node-added', key: 'a', reference }],
    [1, { type: 'node-finished', key: 'a', outcome: { reference, status: 'failed', error } }],
  ]);
  t.is(rows[0]?.[0], 'https://example.com/a.aci');
  t.is(rows[0]?.[12], 'NETWORK: a\\x1b[31mb\\u202e');
});

const key = fc.constantFrom('a', 'b', 'c', 'd');
const ms = fc.nat(100_000);
const event: fc.Arbitrary<BatchEvent> = fc.oneof(
  fc.record({ type: fc.constant('node-added' as const), key, reference: fc.string(), parent: key }),
  fc.record({ type: fc.constant('node-started' as const), key, reference: fc.string() }),
  fc.record({ type: fc.constant('waiting' as const), key, reason: fc.string() }),
  fc.record({ type: fc.constant('place-taken' as const), key, host: fc.string(), waitedMs: ms }),
  fc.record({ type: fc.constant('place-taken' as const), key, waitedMs: ms }),
  fc.record({ type: fc.constant('download-started' as const), key, url: fc.string(), resumedFrom: fc.nat() }),
  fc.record({ type: fc.constant('download-progress' as const), key, bytes: fc.nat() }),
  fc.record({ type: fc.constant('download-finished' as const), key, url: fc.string(), bytes: fc.nat() }),
  fc.record({
    ...{
      type: fc.constant('retry' as const),
      key,
      url: fc.string(),
      attempt: fc.nat(),
      delayMs: ms,
      code: fc.string(),
    },
  }),
  fc.record({ type: fc.constant('ingested' as const), key, imageID: fc.string(), size: fc.nat() }),
  fc.record({
    ...{
      type: fc.constant('verified' as const),
      key,
      signedBy: fc.array(fc.string()),
      identities: fc.array(fc.string()),
    },
  }),
  fc.record({
    type: fc.constant('node-finished' as const),
    key,
    outcome: fc.oneof(
      fc.record({
        ...{ reference: fc.string(), status: fc.constant('fetched' as const), imageID: fc.string(), durationMs: ms },
      }),
      fc.record({
        ...{ reference: fc.string(), status: fc.constant('failed' as const), durationMs: ms },
        error: fc.string().map((text) => new ImageError('NETWORK', text, { url: text })),
      }),
      fc.record({
        ...{ reference: fc.string(), status: fc.constant('cancelled' as const), durationMs: ms },
        error: fc.string().map((text) => new ImageError('CANCELLED', text, { reason: text })),
      }),
    ),
  }),
);

test('phases follow each other without a gap and add up to the life of their image, whatever the order of events', (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(ms, event), { maxLength: 60 }), fc.integer({ min: 1, max: 6 }), (events, most) => {
      const { rows, durationMs, series } = record(events, most);
      t.true(rows.length <= most);
      const sums = phases.map(() => 0);
      for (const [index, [, parent, , spans]] of rows.entries()) {
        t.true(parent < index && parent >= -1);
        const [addedMs = 0, ...rest] = spans;
        const endMs = rest.at(-1) ?? addedMs;
        t.true(addedMs >= 0 && endMs <= durationMs);
        let sum = 0;
        for (const { phase, fromMs, toMs } of spansOf(spans)) {
          t.true(toMs >= fromMs);
          sum += toMs - fromMs;
          sums[phase] = (sums[phase] ?? 0) + toMs - fromMs;
        }
        t.is(sum, endMs - addedMs);
      }
      if (most < 4) return; // images that are not kept count in the series all the same
      for (const [phase, sum] of sums.entries()) {
        const inSeries = (series.images[phase] ?? []).reduce((total, count) => total + count, 0) * series.sliceMs;
        t.true(
          Math.abs(inSeries - sum) <= 480 * 0.005 * series.sliceMs + 1,
          `${phases[phase] ?? ''}: ${inSeries}, ${sum}`,
        );
      }
    }),
    { numRuns: 300 },
  );
});
