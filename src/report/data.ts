import { phases } from '../measure/phases.ts';

/** What the page's script is given. Times are milliseconds since the run began. */
export type ReportData = {
  /** ISO 8601, in UTC. */
  readonly startedAt: string;
  readonly durationMs: number;
  /** In the order of the tree: an image's row is followed by those of what it needs. */
  readonly rows: readonly Row[];
  /** What `Row` refers to by position: a signing key, and who it says it is. */
  readonly signers: readonly string[];
  readonly series: Series;
};

/** One image, as short as it can be written: there may be twenty thousand of them. All texts have passed `show`. */
export type Row = readonly [
  reference: string,
  /** Position of the row that needed it first; -1 for a request. */
  parent: number,
  /** Position in `statuses`. */
  status: number,
  /** When it became known; then, again and again, a position in `phases` and when that phase ended. */
  spans: readonly number[],
  /** When something was tried again, the first few; and how often in all. */
  retryTimes: readonly number[],
  retries: number,
  bytesDownloaded: number,
  /** Of the image in the store; 0 is unknown. */
  size: number,
  imageId: string,
  name: string,
  source: string,
  signers: readonly number[],
  /** Code and message. */
  error: string,
];

/** Equal slices of the run. */
export type Series = {
  readonly sliceMs: number;
  /** For each of `phases`: how many images were in it, on average over the slice. */
  readonly images: readonly (readonly number[])[];
  readonly bytesPerSecond: readonly number[];
};

/** Of the table of outcomes. */
export const columns = ['status', 'image', 'bytes', 'work', 'wait', 'retries', 'signed by', 'error'] as const;
export type Column = (typeof columns)[number];

/** How an image ended; `open`: the run was over before it had. */
export const statuses = ['fetched', 'present', 'failed', 'cancelled', 'open'] as const;
export type Status = (typeof statuses)[number];

/** Marks that tell states apart without colour. */
export const statusMarks: Readonly<Record<Status, string>> = {
  fetched: '✓',
  present: '=',
  failed: '✕',
  cancelled: '–',
  open: '?',
};

export type Span = { readonly phase: number; readonly fromMs: number; readonly toMs: number };

/** A row's spans, one after the other. */
export function spansOf([fromMs = 0, ...rest]: readonly number[]): readonly Span[] {
  const spans: Span[] = [];
  for (let at = 0, beginMs = fromMs; at + 1 < rest.length; at += 2) {
    const toMs = rest[at + 1] ?? beginMs;
    spans.push({ phase: rest[at] ?? 0, fromMs: beginMs, toMs });
    beginMs = toMs;
  }
  return spans;
}

/** How long an image was at work itself, how long it waited for that, and how long for others after it. */
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
