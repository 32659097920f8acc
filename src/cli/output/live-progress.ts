import { createLogUpdate } from 'log-update';

import { type BatchEvent, type OutcomeStatus, showReference } from '../../internal.ts';
import { keepUnderWay, measureBatch, type MeasuredImage, newImage } from '../../measure/measure-batch.ts';
import { createMessages, type Progress } from './messages.ts';
import { formatDuration, size, summaryLine } from './state-line.ts';

const redrawMs = 100;

/**
 * A few rows that are redrawn in place. Other lines, such as errors, are written above them at the next redraw.
 *
 * @param done - the word for images that have come, or gone.
 */
export function createLiveProgress(stderr: NodeJS.WriteStream, nowMs: () => number, done = 'fetched'): Progress {
  const draw = createLogUpdate(ofKnownSize(stderr));
  const batch = trackBatch(nowMs);
  let waiting: (() => void)[] = [];
  const above = (write: () => void): void => void waiting.push(write);
  const messages = createMessages((line) => above(() => stderr.write(`${line}\n`)), stderr);

  const flush = (): void => {
    if (waiting.length === 0) return;
    draw.clear();
    for (const write of waiting) write();
    waiting = [];
  };
  const redraw = (): void => {
    flush();
    draw(drawFrame(batch.state(), { ...sizeOf(stderr), done }));
  };
  const timer = setInterval(redraw, redrawMs);
  timer.unref();

  return {
    above,
    onEvent(event) {
      if (event.type === 'warning') messages.warn(event.message);
      else batch.take(event);
    },
    onOutcome: messages.fail,
    end(totals) {
      clearInterval(timer);
      messages.end();
      flush();
      draw.clear();
      draw.done();
      if (totals) stderr.write(`${summaryLine(totals)}\n`);
    },
  };
}

/** A terminal that was told no size, such as a serial console, says 0. */
function sizeOf({ columns, rows }: NodeJS.WriteStream): FrameSize {
  return { columns: columns || 80, rows: rows || 24 };
}

/** The same terminal; log-update draws nothing on one whose size is 0. It asks a stream for no more than these. */
function ofKnownSize(stderr: NodeJS.WriteStream): NodeJS.WritableStream {
  const stream = {
    get columns() {
      return sizeOf(stderr).columns;
    },
    get rows() {
      return sizeOf(stderr).rows;
    },
    isTTY: stderr.isTTY,
    write: (text: string) => stderr.write(text),
  };
  return stream as unknown as NodeJS.WritableStream;
}

type Transfer = { readonly reference: string; readonly bytes: number; readonly total: number | undefined };

/** The state of a batch for the display. */
type BatchState = {
  readonly elapsedMs: number;
  /** The images known so far, and how many have ended with each status. */
  readonly nodes: number;
  readonly counts: Readonly<Record<OutcomeStatus, number>>;
  /** Bytes downloaded in this run. */
  readonly bytes: number;
  /** Bytes a second, over the last few seconds. */
  readonly rate: number;
  /** Images whose archive is complete, but that are not in the store yet. */
  readonly landed: number;
  /** In the order in which they began. */
  readonly transfers: readonly Transfer[];
};

type Reading = Extract<BatchEvent, { readonly type: 'archive-read' }>;

type BatchTracker = { take(event: BatchEvent): void; state(): BatchState };

const windowMs = 3000;
const sampleMs = 200;

/** Keeps state only for images that are in progress. */
export function trackBatch(nowMs: () => number): BatchTracker {
  type Image = MeasuredImage & { readonly reference: string; total: number | undefined };
  const transfers = new Set<Image>();
  const landed = new Set<Image>();
  const batch = measureBatch(
    keepUnderWay<Image>(({ reference }, atMs) => ({ ...newImage(atMs), reference, total: undefined })),
  );
  /** The archive that is read, before its images are known. */
  let reading: Reading | undefined;
  const startedAtMs = nowMs();
  const samples = [{ atMs: startedAtMs, bytes: 0 }];

  return {
    take(event) {
      reading = event.type === 'archive-read' ? event : undefined;
      const image = batch.take(event, nowMs());
      if (!image) return;
      if (event.type === 'download-started' || event.type === 'download-progress')
        image.total = event.total ?? image.total;
      if (image.phase === 'download') transfers.add(image);
      else if (transfers.delete(image)) landed.add(image);
      if (image.phase === 'download' || image.status !== undefined) landed.delete(image);
    },
    state() {
      const now = nowMs();
      const { nodes, counts, bytesDownloaded: bytes } = batch.sums;
      const last = samples.at(-1);
      if (!last || now - last.atMs >= sampleMs) samples.push({ atMs: now, bytes });
      while (samples.length > 2 && now - (samples[0]?.atMs ?? now) > windowMs) samples.shift();
      const oldest = samples[0];
      const spanMs = oldest ? now - oldest.atMs : 0;
      const rate = oldest && spanMs > 0 ? ((bytes - oldest.bytes) / spanMs) * 1000 : 0;
      const elapsedMs = now - startedAtMs;
      return {
        elapsedMs,
        nodes,
        counts,
        bytes,
        rate,
        landed: landed.size,
        transfers: reading ? [transferOf(reading)] : [...transfers],
      };
    },
  };
}

function transferOf({ path, bytes, total }: Reading): Transfer {
  return { reference: path, bytes, total };
}

export type FrameSize = { readonly columns: number; readonly rows: number; readonly done?: string };

const barLength = 20;
const maxRows = 8;
/** Estimates of the remaining time are shown only after this time. */
const settledMs = 2000;

/** The display at one moment: a row for each of the oldest transfers, and the total. */
export function drawFrame(state: BatchState, { columns, rows, done }: FrameSize): string {
  const shown = state.transfers.slice(0, Math.max(0, Math.min(maxRows, rows - 3)));
  const hidden = state.transfers.length - shown.length;
  return [
    ...shown.map((transfer) => transferRow(transfer, columns)),
    ...(hidden > 0 ? [`  and ${hidden} more`] : []),
    totalRow(state, done),
  ]
    .map((line) => line.slice(0, Math.max(1, columns - 1)))
    .join('\n');
}

function transferRow({ reference, bytes, total }: Transfer, columns: number): string {
  const width = Math.max(10, columns - barLength - 30);
  const name = showReference(reference)
    .slice(0, width - 1)
    .padEnd(width);
  if (!total) return `  ${name} ${size(bytes)}`;
  const done = Math.min(1, bytes / total);
  const bar = '='.repeat(Math.round(done * barLength)).padEnd(barLength, ' ');
  const percent = String(Math.floor(done * 100)).padStart(3);
  return `  ${name} [${bar}] ${percent}% of ${size(total)}`;
}

function totalRow(state: BatchState, done = 'fetched'): string {
  const { counts, nodes, bytes, rate } = state;
  const parts = [`${finishedOf(state)}/${nodes} images`];
  for (const status of ['fetched', 'present', 'failed'] as const) {
    if (counts[status] > 0) parts.push(`${counts[status]} ${status === 'fetched' ? done : status}`);
  }
  if (bytes > 0) parts.push(size(bytes), `${size(Math.round(rate))}/s`);
  const left = remainingMs(state);
  if (left !== undefined) parts.push(`${formatDuration(left)} left`);
  return parts.join(' · ');
}

/** An estimate: each node counts the same, and a transfer counts by the share that has arrived. */
function remainingMs(state: BatchState): number | undefined {
  const { elapsedMs, nodes, landed, transfers } = state;
  const partial = transfers.reduce((sum, { bytes, total }) => sum + (total ? Math.min(1, bytes / total) : 0), 0);
  const done = nodes > 0 ? Math.min(1, (finishedOf(state) + landed + partial) / nodes) : 0;
  if (elapsedMs < settledMs || done <= 0 || done >= 1) return undefined;
  return (elapsedMs * (1 - done)) / done;
}

function finishedOf({ counts }: BatchState): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}
