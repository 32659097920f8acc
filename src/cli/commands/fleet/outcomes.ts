import type { Batch } from '../../../fleet/batch.ts';
import type { Result } from '../../../fleet/result.ts';
import { type BatchEvent, ImageError, type Outcome, type Totals } from '../../../internal.ts';

/** An outcome as fetch prints it, and who is responsible for it. */
export type FleetOutcome = Outcome & { readonly worker?: string; readonly pushed?: string };

/** Why images of a batch may have no outcome. */
export type BatchState = 'running' | 'complete' | 'cancelled' | 'expired';

/** The outcome of an image of a batch, and those of what it depends on. What it is about is not the worker's word. */
export function outcomesOf(
  { images }: Batch,
  { index, worker, outcome, pushed, nodes }: Pick<Result, 'index' | 'worker' | 'outcome' | 'pushed' | 'nodes'>,
): readonly FleetOutcome[] {
  const reference = images[index]?.image ?? outcome.reference;
  return [
    { ...outcome, reference, index, worker, ...(pushed !== undefined && { pushed }) },
    ...nodes.map(({ index: _, ...node }) => ({ ...node, worker })),
  ];
}

const whyMissing: Readonly<Record<BatchState, string>> = {
  running: 'no worker has brought it yet',
  complete: 'no result of it is kept',
  cancelled: 'the batch was cancelled before it was brought',
  expired: 'the batch has expired before it was brought',
};

/** How a batch is, or has ended. */
export function stateWords({ name }: Batch, state: BatchState): string {
  return `the batch ${name} ${words[state]}`;
}

const words: Readonly<Record<BatchState, string>> = {
  running: 'is not complete',
  complete: 'is complete, and its results are kept no longer',
  cancelled: 'was cancelled',
  expired: 'has expired',
};

/** The outcome of an image that nobody has reported. */
export function missingOutcome({ images }: Batch, index: number, state: BatchState): FleetOutcome {
  const error = new ImageError('CANCELLED', whyMissing[state], { reason: state === 'running' ? 'aborted' : state });
  return { reference: images[index]?.image ?? '', index, status: 'cancelled', error };
}

/** Counts as those of a fetch of the whole batch. What only the workers know is 0. */
export function createFleetTotals({ images, createdAtMs }: Batch) {
  /** By ID, since two workers may have brought what two images depend on. */
  const nodes = new Map<string, Outcome['status']>();
  let bytesDownloaded = 0;
  let endMs = createdAtMs;
  return {
    add({ reference, imageID = reference, status, bytesDownloaded: bytes = 0 }: Outcome): void {
      if (nodes.get(imageID) !== 'fetched') nodes.set(imageID, status);
      bytesDownloaded += bytes;
    },
    /** The time at which an image has ended. */
    endAt(atMs: number): void {
      endMs = Math.max(endMs, atMs);
    },
    read(): Totals {
      const counts = { fetched: 0, present: 0, failed: 0, cancelled: 0 };
      for (const status of nodes.values()) counts[status] += 1;
      const unknown = { blocked: 0, bytesStored: 0, requests: 0, retries: 0 } as const;
      const durationMs = endMs - createdAtMs;
      return { images: images.length, nodes: nodes.size, ...counts, ...unknown, bytesDownloaded, durationMs };
    },
  };
}

/** An event of a run, and when it happened, in milliseconds since the epoch. */
export type TimedEvent = { readonly atMs: number; readonly event: BatchEvent };

/** The first events of a batch: its images are known from the start. */
export function* beginning({ images, createdAtMs: atMs }: Batch): Generator<TimedEvent> {
  yield { atMs, event: { type: 'batch-started', requests: images.length, jobs: 0, jobsPerHost: 0 } };
  for (const [index, { image: reference }] of images.entries())
    yield { atMs, event: { type: 'node-added', key: String(index), reference } };
}

/** What happened to an image, as a fetch would tell it. Of its dependencies only the sums are known. */
export function* eventsOf({ index, outcome, startedAtMs, endedAtMs }: Result): Generator<TimedEvent> {
  const key = String(index);
  const { reference, source: url = '', bytesDownloaded: bytes = 0 } = outcome;
  yield { atMs: startedAtMs, event: { type: 'node-started', key, reference } };
  if (bytes > 0) {
    yield { atMs: startedAtMs, event: { type: 'download-started', key, url, total: bytes, resumedFrom: 0 } };
    yield { atMs: endedAtMs, event: { type: 'download-progress', key, bytes, total: bytes } };
  }
  yield { atMs: endedAtMs, event: { type: 'node-finished', key, outcome } };
}
