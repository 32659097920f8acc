import type { TimedEvent } from './phases.ts';

/** Seconds of all images together that workers took for each step of their ingest. */
export type IngestSums = {
  readonly read: number;
  readonly inflate: number;
  readonly hash: number;
  readonly check: number;
  readonly write: number;
  readonly sync: number;
};

export const ingestSteps = ['read', 'inflate', 'hash', 'check', 'write', 'sync'] as const;

export function addIngests(): { add(event: TimedEvent): void; sums(): IngestSums } {
  const sumsMs = { read: 0, inflate: 0, hash: 0, check: 0, write: 0, sync: 0 };
  return {
    add({ steps }) {
      for (const step of ingestSteps) sumsMs[step] += steps?.[step] ?? 0;
    },
    sums: () => ({
      read: sumsMs.read / 1000,
      inflate: sumsMs.inflate / 1000,
      hash: sumsMs.hash / 1000,
      check: sumsMs.check / 1000,
      write: sumsMs.write / 1000,
      sync: sumsMs.sync / 1000,
    }),
  };
}
