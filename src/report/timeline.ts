import type { BatchEvent, OutcomeStatus, Totals } from '../events.ts';
import { show } from '../image/show.ts';
import type { ReportData } from './data.ts';
import { keepMost, beginLife, endLife, follow, type LifeEvent } from './life.ts';
import { createSeries } from './series.ts';
import { createNumbering, toRow, treeOrder } from './to-row.ts';

const mostRows = 20_000;
const mostWarnings = 50;

/** A run as a page tells it: plain data. */
export type Timeline = ReportData & {
  /** Absent: the run ended before its batch had. */
  readonly totals: Totals | undefined;
  readonly requests: number;
  /** How many images became known, and how they ended. */
  readonly nodes: number;
  readonly counts: Readonly<Record<OutcomeStatus, number>>;
  readonly retries: number;
  readonly bytesDownloaded: number;
  /** The first of them, and how many there were. */
  readonly warnings: { readonly texts: readonly string[]; readonly count: number };
};

export type TimelineRecorder = {
  /** @param timeMs - milliseconds since the epoch. Never throws, whatever the order of events. */
  add(event: BatchEvent, timeMs: number): void;
  /** To be called once, when nothing more will come. */
  read(timeMs: number): Timeline;
};

/**
 * Records what happens to each image of a batch, while it happens, in bounded space: of more images than `most` those that
 * failed or took longest are kept, and all are counted.
 */
export function createTimeline(startMs: number, most = mostRows): TimelineRecorder {
  const kept = keepMost(most);
  const series = createSeries();
  const counts = { fetched: 0, present: 0, failed: 0, blocked: 0, cancelled: 0 };
  const warnings: string[] = [];
  let [requests, nodes, retries, bytesDownloaded, warned] = [0, 0, 0, 0, 0];
  let totals: Totals | undefined;
  let endMs = 0;
  /** When the first image became known for which there was no room. */
  let fullMs: number | undefined;

  const begin = (key: string, reference: string, parent: string | undefined, atMs: number): void => {
    if (!kept.get(key) && !kept.admit(beginLife(key, reference, parent, atMs))) fullMs ??= atMs;
  };

  const note = (event: LifeEvent, atMs: number): void => {
    const life = kept.get(event.key);
    if (!life || life.outcome) return;
    const { bytes, bytesMs } = life;
    follow(life, event, atMs, series.addSpan);
    if (event.type === 'download-progress' && event.bytes > bytes) {
      bytesDownloaded += event.bytes - bytes;
      series.addBytes(event.bytes - bytes, bytesMs, atMs);
    }
    if (event.type === 'node-finished') kept.over(life);
  };

  return {
    add(event, timeMs) {
      const atMs = (endMs = Math.max(endMs, timeMs - startMs));
      switch (event.type) {
        case 'batch-started':
          requests += event.requests;
          return;
        case 'batch-finished':
          totals = event.totals;
          return;
        case 'warning':
          warned += 1;
          if (warnings.length < mostWarnings) warnings.push(show(event.message, 400));
          return;
        case 'node-added':
          nodes += 1;
          return begin(event.key, event.reference, event.parent, atMs);
        case 'node-started':
          begin(event.key, event.reference, undefined, fullMs ?? atMs); // there was no room when it was added
          return note(event, atMs);
        case 'node-finished':
          counts[event.outcome.status] += 1;
          if (event.outcome.status === 'failed') begin(event.key, event.outcome.reference, undefined, atMs);
          return note(event, atMs);
        case 'retry':
          retries += 1;
          return note(event, atMs);
        default:
          return note(event, atMs);
      }
    },
    read(timeMs) {
      const durationMs = Math.round((endMs = Math.max(endMs, totals ? 0 : timeMs - startMs)));
      for (const life of kept.all()) if (!life.outcome) endLife(life, endMs, series.addSpan);
      const signers = createNumbering();
      return {
        startedAt: new Date(startMs).toISOString(),
        durationMs,
        rows: treeOrder(kept.all()).map(({ life, parent }) => toRow(life, parent, signers)),
        signers: signers.texts,
        series: series.read(durationMs),
        ...{ totals, requests, nodes, counts, retries, bytesDownloaded },
        warnings: { texts: warnings, count: warned },
      };
    },
  };
}
