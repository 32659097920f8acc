import type { TimedEvent } from './phases.ts';
import { recordOf } from './record-of.ts';

export const ingestSteps = ['wait', 'read', 'inflate', 'hash', 'check', 'write', 'sync'] as const;

/** Seconds of all images together: that they waited for a worker, and that it took for each step of their ingest. */
export type IngestSums = Readonly<Record<(typeof ingestSteps)[number], number>>;

export function addIngests(): { add(event: TimedEvent): void; sums(): IngestSums } {
  const sumsMs = recordOf(ingestSteps, () => 0);
  return {
    add({ steps }) {
      for (const step of ingestSteps) sumsMs[step] += steps?.[step] ?? 0;
    },
    sums: () => recordOf(ingestSteps, (step) => sumsMs[step] / 1000),
  };
}
