import prettyBytes from 'pretty-bytes';

import { showReference } from '../../index.ts';
import type { BatchState, Transfer } from './batch-state.ts';
import { formatDuration } from './duration.ts';

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
