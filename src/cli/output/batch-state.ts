import type { BatchEvent, OutcomeStatus } from '../../index.ts';

export type Transfer = { readonly reference: string; readonly bytes: number; readonly total: number | undefined };

/** A batch as a display needs it. */
export type BatchState = {
  readonly startedAtMs: number;
  /** Nodes known so far. */
  readonly nodes: number;
  readonly finished: number;
  readonly counts: Readonly<Record<OutcomeStatus, number>>;
  /** Bytes that came in this run. */
  readonly bytes: number;
  /** Bytes a second, over the last few seconds. */
  readonly rate: number;
  /** Nodes whose archive is here whole, but not yet in the store. */
  readonly landed: number;
  /** In the order they began. */
  readonly transfers: readonly Transfer[];
};

export type BatchTracker = {
  take(event: BatchEvent): void;
  state(nowMs: number): BatchState;
};

const windowMs = 3000;
const sampleMs = 200;

export function trackBatch(startedAtMs: number): BatchTracker {
  const open = new Set<string>();
  const references = new Map<string, string>();
  const transfers = new Map<string, Transfer>();
  const landed = new Set<string>();
  const counts = { fetched: 0, present: 0, failed: 0, blocked: 0, cancelled: 0 };
  const samples = [{ atMs: startedAtMs, bytes: 0 }];
  let nodes = 0;
  let bytes = 0;

  return {
    take(event) {
      switch (event.type) {
        case 'node-added':
          open.add(event.key);
          nodes += 1;
          return;
        case 'node-started':
          references.set(event.key, event.reference);
          return;
        case 'download-started': {
          const { key, resumedFrom, total } = event;
          transfers.set(key, { reference: references.get(key) ?? key, bytes: resumedFrom, total });
          return;
        }
        case 'download-progress': {
          const transfer = transfers.get(event.key);
          if (!transfer) return;
          bytes += Math.max(0, event.bytes - transfer.bytes);
          transfers.set(event.key, { ...transfer, bytes: event.bytes });
          return;
        }
        case 'download-finished':
          if (transfers.delete(event.key)) landed.add(event.key);
          return;
        case 'node-finished':
          transfers.delete(event.key);
          landed.delete(event.key);
          references.delete(event.key);
          if (!open.delete(event.key)) return; // asked for more than once: each request ends, but it is one node
          counts[event.outcome.status] += 1;
          return;
        default:
          return;
      }
    },
    state(nowMs) {
      const last = samples.at(-1);
      if (!last || nowMs - last.atMs >= sampleMs) samples.push({ atMs: nowMs, bytes });
      while (samples.length > 2 && nowMs - (samples[0]?.atMs ?? nowMs) > windowMs) samples.shift();
      const oldest = samples[0];
      const spanMs = oldest ? nowMs - oldest.atMs : 0;
      const finished = Object.values(counts).reduce((sum, count) => sum + count, 0);
      return {
        startedAtMs,
        nodes,
        finished,
        counts: { ...counts },
        bytes,
        rate: oldest && spanMs > 0 ? ((bytes - oldest.bytes) / spanMs) * 1000 : 0,
        landed: landed.size,
        transfers: [...transfers.values()],
      };
    },
  };
}
