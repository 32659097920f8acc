import { type Phase, phases } from '../measure/phases.ts';

/** The data for the page's script. Times are milliseconds since the start of the run. */
export type ReportData = {
  /** ISO 8601, in UTC. */
  readonly startedAt: string;
  readonly durationMs: number;
  /** Whether images were sent; otherwise they were fetched. */
  readonly isPush: boolean;
  /** In the order of the tree: the row of an image comes before those of its dependencies. */
  readonly rows: readonly Row[];
  /** The signers that `Row` refers to by position: a key and its user IDs. */
  readonly signers: readonly string[];
  readonly series: Series;
};

/** One image, in a short form, since there may be twenty thousand. All texts have passed `show`. */
export type Row = readonly [
  reference: string,
  /** Position of the row that needed it first; -1 for a request. */
  parent: number,
  /** Position in `statuses`. */
  status: number,
  /** When it became known; then pairs of a position in `phases` and the end of that phase. */
  spans: readonly number[],
  /** The times of the first retries, and the number of all. */
  retryTimes: readonly number[],
  retries: number,
  bytesDownloaded: number,
  /** Bytes of the image in the store; 0 is unknown. */
  size: number,
  imageId: string,
  name: string,
  source: string,
  signers: readonly number[],
  /** Code and message. */
  error: string,
];

/** Averages over equal slices of the run. */
export type Series = {
  readonly sliceMs: number;
  /** For each of `phases`, the average number of images in it in each slice. */
  readonly images: readonly (readonly number[])[];
  readonly bytesPerSecond: readonly number[];
};

/** Columns of the table of outcomes. */
export const columns = ['status', 'image', 'bytes', 'work', 'wait', 'retries', 'signed by', 'error'] as const;
export type Column = (typeof columns)[number];

/** How an image ended; `open`: the run ended before. */
export const statuses = ['fetched', 'present', 'failed', 'cancelled', 'open', 'pushed', 'planned', 'skipped'] as const;
export type Status = (typeof statuses)[number];

/** Marks that distinguish states without colour. */
export const statusMarks: Readonly<Record<Status, string>> = {
  fetched: '✓',
  present: '=',
  failed: '✕',
  cancelled: '–',
  open: '?',
  pushed: '✓',
  planned: '+',
  skipped: '·',
};

/** Whether nothing went wrong. */
export function isGood(status: Status): boolean {
  return status !== 'failed' && status !== 'cancelled' && status !== 'open';
}

/** How a phase is called on the page: what is pushed is not downloaded. */
export function phaseName(phase: Phase, isPush: boolean): string {
  return isPush && phase === 'download' ? 'upload' : phase;
}

export type Span = { readonly phase: number; readonly fromMs: number; readonly toMs: number };

/** The consecutive spans of a row. */
export function spansOf([fromMs = 0, ...rest]: readonly number[]): readonly Span[] {
  const spans: Span[] = [];
  for (let at = 0, beginMs = fromMs; at + 1 < rest.length; at += 2) {
    const toMs = rest[at + 1] ?? beginMs;
    spans.push({ phase: rest[at] ?? 0, fromMs: beginMs, toMs });
    beginMs = toMs;
  }
  return spans;
}

/** How long an image was active, how long it waited before, and how long for others afterwards. */
export function timesOf(spans: readonly number[]): {
  readonly workMs: number;
  readonly waitMs: number;
  readonly needsMs: number;
} {
  let [workMs, waitMs, needsMs] = [0, 0, 0];
  for (const { phase, fromMs, toMs } of spansOf(spans)) {
    if (phases[phase] === 'wait') waitMs += toMs - fromMs;
    else if (phases[phase] === 'needs') needsMs += toMs - fromMs;
    else workMs += toMs - fromMs;
  }
  return { workMs, waitMs, needsMs };
}
