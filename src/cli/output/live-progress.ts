import { createLogUpdate } from 'log-update';
import prettyBytes from 'pretty-bytes';

import { trackBatch, type BatchState, type Transfer } from './batch-state.ts';
import { createMessages } from './messages.ts';
import type { Progress } from './progress.ts';
import { summaryLine, formatDuration } from './state-line.ts';
import { showReference } from '../../index.ts';

const redrawMs = 100;

/** A few rows that are redrawn in place; what stays, such as errors, is written above them at the next redraw. */
export function createLiveProgress(stderr: NodeJS.WriteStream, nowMs: () => number): Progress {
  const draw = createLogUpdate(stderr);
  const batch = trackBatch(nowMs());
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
    const now = nowMs();
    draw(drawFrame(batch.state(now), now, { columns: stderr.columns || 80, rows: stderr.rows || 24 }));
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
      flush();
      draw.clear();
      draw.done();
      if (totals) stderr.write(`${summaryLine(totals)}\n`);
    },
  };
}

export type FrameSize = { readonly columns: number; readonly rows: number };

const barLength = 20;
const maxRows = 8;
/** Before this much has passed an estimate is a guess. */
const settledMs = 2000;

/** The live display at one moment: a row for each of the oldest transfers, and the total. */
export function drawFrame(state: BatchState, nowMs: number, { columns, rows }: FrameSize): string {
  const shown = state.transfers.slice(0, Math.max(0, Math.min(maxRows, rows - 3)));
  const hidden = state.transfers.length - shown.length;
  return [
    ...shown.map((transfer) => transferRow(transfer, columns)),
    ...(hidden > 0 ? [`  and ${hidden} more`] : []),
    totalRow(state, nowMs),
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

function totalRow(state: BatchState, nowMs: number): string {
  const { counts, finished, nodes, bytes, rate } = state;
  const parts = [`${finished}/${nodes} images`];
  for (const status of ['fetched', 'present', 'failed'] as const) {
    if (counts[status] > 0) parts.push(`${counts[status]} ${status}`);
  }
  if (bytes > 0) parts.push(size(bytes), `${size(Math.round(rate))}/s`);
  const left = remainingMs(state, nowMs);
  if (left !== undefined) parts.push(`${formatDuration(left)} left`);
  return parts.join(' · ');
}

/** Every node counts the same, and a transfer for the part of it that is there. */
function remainingMs(
  { startedAtMs, finished, nodes, landed, transfers }: BatchState,
  nowMs: number,
): number | undefined {
  const partial = transfers.reduce((sum, { bytes, total }) => sum + (total ? Math.min(1, bytes / total) : 0), 0);
  const done = nodes > 0 ? Math.min(1, (finished + landed + partial) / nodes) : 0;
  const elapsed = nowMs - startedAtMs;
  if (elapsed < settledMs || done <= 0 || done >= 1) return undefined;
  return (elapsed * (1 - done)) / done;
}

function size(bytes: number): string {
  return prettyBytes(bytes, { binary: true });
}
