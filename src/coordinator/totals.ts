import type { OutcomeStatus, Totals } from '../events.ts';
import { statusOf } from './outcome.ts';
import type { Node } from './node.ts';

/** Counts nodes as they settle, each once. */
export function createTotals(): { add(node: Node): void; read(rest: Rest): Totals } {
  const count: Record<OutcomeStatus, number> = { fetched: 0, present: 0, failed: 0, blocked: 0, cancelled: 0 };
  let nodes = 0;
  let bytesDownloaded = 0;
  let bytesStored = 0;
  return {
    add(node) {
      nodes += 1;
      count[statusOf(node)] += 1;
      bytesDownloaded += node.found?.bytesDownloaded ?? 0;
      if (node.found?.status === 'fetched') bytesStored += node.found.image.size;
    },
    read: ({ images, ...rest }) => ({ images, nodes, ...count, bytesDownloaded, bytesStored, ...rest }),
  };
}

type Rest = Pick<Totals, 'images' | 'requests' | 'retries' | 'durationMs'>;
