import test from 'ava';
import fc from 'fast-check';

import type { BatchEvent } from '../../src/events.ts';
import { keepUnderWay, measureBatch, type MeasuredImage, newImage } from '../../src/measure/measure-batch.ts';
import { madeEvents } from '../helpers/made-run.ts';

type Image = MeasuredImage & { readonly key: string };

/** A reader that keeps what is under way, and how much of it there is. */
function underWay() {
  const keeping = keepUnderWay<Image>(({ key }, atMs) => ({ ...newImage(atMs), key }));
  const spans: (readonly [key: string, fromMs: number, toMs: number])[] = [];
  const kept = new Set<Image>();
  const batch = measureBatch<Image>({
    ...keeping,
    begin(event, atMs) {
      const image = keeping.begin(event, atMs);
      if (image) kept.add(image);
      return image;
    },
    end(key, image) {
      kept.delete(image);
      keeping.end(key, image);
    },
    onSpan: ({ key }, _, fromMs, toMs) => void spans.push([key, fromMs, toMs]),
  });
  return { batch, keeping, kept, spans };
}

test('of a thousand images only those in progress are kept, and all are counted', (t) => {
  const { batch, keeping, kept } = underWay();
  let most = 0;
  const events = madeEvents({ images: 1000, failEvery: 100, jobs: 16 });
  for (const { atMs, event } of events) {
    batch.take(event, atMs);
    most = Math.max(most, kept.size);
  }
  t.true(most > 1 && most < 200, String(most));
  t.is(kept.size, 0);
  for (const { event } of events) if ('key' in event) t.is(keeping.get(event.key ?? ''), undefined);
  t.like(batch.sums, { requests: 1000, nodes: 1000 });
  t.deepEqual(batch.sums.counts, {
    fetched: 990,
    present: 0,
    failed: 10,
    cancelled: 0,
    pushed: 0,
    planned: 0,
    skipped: 0,
  });
  t.truthy(batch.sums.totals);
});

const shared = { key: fc.constantFrom('a', 'b') };
const anyEvent: fc.Arbitrary<BatchEvent> = fc.oneof(
  fc.record({ ...shared, type: fc.constant('node-started' as const), reference: fc.string() }),
  fc.record({ ...shared, type: fc.constant('waiting' as const), reason: fc.string() }),
  fc.record({ ...shared, type: fc.constant('place-taken' as const), host: fc.string(), waitedMs: fc.nat(1000) }),
  fc.record({ ...shared, type: fc.constant('download-started' as const), url: fc.string(), resumedFrom: fc.nat() }),
  fc.record({ ...shared, type: fc.constant('download-finished' as const), url: fc.string(), bytes: fc.nat() }),
  fc.record({ ...shared, type: fc.constant('ingested' as const), imageID: fc.string(), size: fc.nat() }),
  fc.record({
    ...{ ...shared, type: fc.constant('node-finished' as const) },
    outcome: fc.record({
      reference: fc.string(),
      status: fc.constant('present' as const),
      imageID: fc.string(),
      durationMs: fc.nat(1000),
    }),
  }),
);

test('phases follow each other without a gap from the start of an image to its outcome, whatever the order of events', (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(100), anyEvent), { maxLength: 40 }), (steps) => {
      const { batch, spans } = underWay();
      let nowMs = 0;
      for (const [stepMs, event] of steps) {
        const from = spans.length;
        nowMs += stepMs;
        const image = batch.take(event, nowMs);
        for (const [at, [, fromMs, toMs]] of spans.slice(from).entries()) {
          t.true(fromMs < toMs && toMs <= nowMs);
          if (at > 0) t.true(fromMs === spans[from + at - 1]?.[2]);
        }
        if (image && image.status !== undefined) t.is(image.sinceMs, nowMs);
      }
    }),
  );
});
