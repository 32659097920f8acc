/** What counts of an event of a batch. */
export type TimedEvent = {
  readonly type: string;
  readonly key?: string | undefined;
  /** Milliseconds since the epoch. */
  readonly timeMs: number;
  readonly outcome?: { readonly durationMs?: number | undefined } | undefined;
};

/**
 * Seconds that all images together spent. `resolve`: until the first byte, so waiting for a place, discovery and signature;
 * `download`: from there to the last byte, ingest follows along; `verify`: what was left of ingest then, and the checks;
 * `commit`: until the store has it. What is fetched ahead in a tree is told of once it is wanted, so its phases look shorter.
 */
export type Phases = {
  readonly resolve: number;
  readonly download: number;
  readonly verify: number;
  readonly commit: number;
};

export const phaseNames = ['resolve', 'download', 'verify', 'commit'] as const satisfies readonly (keyof Phases)[];

/** Ends of the phases of one image, in order, in milliseconds since the epoch. */
type Marks = { readonly startMs: number; firstMs?: number; lastMs?: number; checkedMs?: number };

/** Adds up the phases of a batch, event by event. Images that the store had, or that failed, count for nothing. */
export function addPhases(): { add(event: TimedEvent): void; sums(): Phases } {
  const sumsMs = { resolve: 0, download: 0, verify: 0, commit: 0 };
  const alive = new Map<string, Marks>();
  return {
    add({ type, key = '', timeMs, outcome }) {
      if (type === 'node-started') alive.set(key, { startMs: timeMs });
      const marks = alive.get(key);
      if (!marks) return;
      if (type === 'download-started') marks.firstMs ??= timeMs;
      if (type === 'download-finished') marks.lastMs = timeMs;
      if (type === 'ingested' || type === 'verified') marks.checkedMs = timeMs;
      if (type !== 'node-finished') return;
      alive.delete(key);
      const { startMs, firstMs, lastMs, checkedMs } = marks;
      if (firstMs === undefined || lastMs === undefined || checkedMs === undefined) return;
      sumsMs.resolve += firstMs - startMs;
      sumsMs.download += lastMs - firstMs;
      sumsMs.verify += checkedMs - lastMs;
      // An image that needs others finishes after them; its own work ended before.
      const endMs = Math.min(timeMs, startMs + (outcome?.durationMs ?? Infinity));
      sumsMs.commit += Math.max(0, endMs - checkedMs);
    },
    sums: () => ({
      resolve: sumsMs.resolve / 1000,
      download: sumsMs.download / 1000,
      verify: sumsMs.verify / 1000,
      commit: sumsMs.commit / 1000,
    }),
  };
}
