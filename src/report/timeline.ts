import type { BatchEvent } from '../events.ts';
import { show } from '../image/show.ts';
import { type BatchSums, enterPhase, measureBatch } from '../measure/measure-batch.ts';
import type { Phase } from '../measure/phases.ts';
import type { ReportData } from './data.ts';
import { addSpan, beginLife, keepMost, type Life, noteFacts } from './life.ts';
import { createSeries } from './series.ts';
import { createNumbering, toRow, treeOrder } from './to-row.ts';

const mostRows = 20_000;
const mostWarnings = 50;

/** A run, as plain data for a page. */
export type Timeline = ReportData &
  Readonly<BatchSums> & {
    /** The first warnings, and the number of all. */
    readonly warnings: { readonly texts: readonly string[]; readonly count: number };
  };

export type TimelineRecorder = {
  /** @param timeMs - milliseconds since the epoch. Never throws, whatever the order of events. */
  add(event: BatchEvent, timeMs: number): void;
  /** Must be called only once, after the last event. */
  read(timeMs: number): Timeline;
};

/**
 * Records the images of a batch while it runs, in bounded space: of more than `most` images, those that failed or took
 * longest are kept, and all are counted.
 */
export function createTimeline(startMs: number, most = mostRows): TimelineRecorder {
  const kept = keepMost(most);
  const series = createSeries();
  const warnings: string[] = [];
  let warned = 0;
  let endMs = 0;
  /** When the first image became known that had no room. */
  let fullMs: number | undefined;

  const begin = (key: string, reference: string, parent: string | undefined, atMs: number): Life | undefined => {
    const life = beginLife(key, reference, parent, atMs);
    if (kept.admit(life)) return life;
    fullMs ??= atMs;
    return undefined;
  };

  const onSpan = (life: Life, phase: Phase, fromMs: number, toMs: number): void =>
    series.addSpan(addSpan(life, phase, toMs), fromMs, toMs);

  const batch = measureBatch<Life>({
    get: kept.get,
    begin(event, atMs) {
      const { type, key } = event;
      if (type === 'node-added') return begin(key, event.reference, event.parent, atMs);
      // there was no room when it was added
      if (type === 'node-started') return begin(key, event.reference, undefined, fullMs ?? atMs);
      const isEnd = type === 'node-finished' || type === 'image-pushed';
      return isEnd && event.outcome.status === 'failed'
        ? begin(key, event.outcome.reference, undefined, atMs)
        : undefined;
    },
    end: (_, life) => kept.over(life),
    onSpan,
    onBytes: series.addBytes,
  });

  return {
    add(event, timeMs) {
      const atMs = (endMs = Math.max(endMs, timeMs - startMs));
      const life = batch.take(event, atMs);
      if (event.type === 'warning') {
        warned += 1;
        if (warnings.length < mostWarnings) warnings.push(show(event.message, 400));
      } else if (life && 'key' in event) {
        noteFacts(life, event, atMs);
      }
    },
    read(timeMs) {
      const { sums } = batch;
      const durationMs = Math.round((endMs = Math.max(endMs, sums.totals ? 0 : timeMs - startMs)));
      for (const life of kept.all()) if (life.status === undefined) enterPhase(life, life.phase, endMs, onSpan);
      const signers = createNumbering();
      return {
        ...sums,
        startedAt: new Date(startMs).toISOString(),
        durationMs,
        rows: treeOrder(kept.all()).map(({ life, parent }) => toRow(life, parent, signers)),
        signers: signers.texts,
        series: series.read(durationMs),
        warnings: { texts: warnings, count: warned },
      };
    },
  };
}
