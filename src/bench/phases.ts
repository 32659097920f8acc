import { recordOf } from './record-of.ts';

/** What counts of an event of a batch. */
export type TimedEvent = {
  readonly type: string;
  readonly key?: string | undefined;
  /** Milliseconds since the epoch. */
  readonly timeMs: number;
  /** Of a place among the transfers. */
  readonly waitedMs?: number | undefined;
  /** Of an ingest, in milliseconds. */
  readonly steps?: Readonly<Record<string, number>> | undefined;
  readonly outcome?: { readonly durationMs?: number | undefined } | undefined;
};

/**
 * Seconds that all images together spent. `wait`: for a place among the transfers; `resolve`: otherwise until the first
 * byte, so discovery, signature and the answer; `download`: from there to the last byte, ingest follows along; `verify`:
 * what was left of ingest then, and the checks; `commit`: until the store has it. What is fetched ahead in a tree is told
 * of once it is wanted, so its phases look shorter.
 */
export type Phases = Readonly<Record<(typeof phaseNames)[number], number>>;

export const phaseNames = ['wait', 'resolve', 'download', 'verify', 'commit'] as const;

/** Ends of the phases of one image, in order, in milliseconds since the epoch. */
type Marks = { readonly startMs: number; waitMs: number; firstMs?: number; lastMs?: number; checkedMs?: number };

/** Adds up the phases of a batch, event by event. Images that the store had, or that failed, count for nothing. */
export function addPhases(): { add(event: TimedEvent): void; sums(): Phases } {
  const sumsMs = recordOf(phaseNames, () => 0);
  const alive = new Map<string, Marks>();
  return {
    add({ type, key = '', timeMs, waitedMs = 0, outcome }) {
      if (type === 'node-started') alive.set(key, { startMs: timeMs, waitMs: 0 });
      const marks = alive.get(key);
      if (!marks) return;
      const { startMs, firstMs, lastMs, checkedMs } = marks;
      if (type === 'place-taken' && firstMs === undefined)
        marks.waitMs = Math.min(marks.waitMs + waitedMs, timeMs - startMs);
      if (type === 'download-started') marks.firstMs ??= timeMs;
      if (type === 'download-finished') marks.lastMs = timeMs;
      if (type === 'ingested' || type === 'verified') marks.checkedMs = timeMs;
      if (type !== 'node-finished') return;
      alive.delete(key);
      if (firstMs === undefined || lastMs === undefined || checkedMs === undefined) return;
      sumsMs.wait += marks.waitMs;
      sumsMs.resolve += firstMs - startMs - marks.waitMs;
      sumsMs.download += lastMs - firstMs;
      sumsMs.verify += checkedMs - lastMs;
      // An image that needs others finishes after them; its own work ended before.
      const endMs = Math.min(timeMs, startMs + (outcome?.durationMs ?? Infinity));
      sumsMs.commit += Math.max(0, endMs - checkedMs);
    },
    sums: () => recordOf(phaseNames, (phase) => sumsMs[phase] / 1000),
  };
}
