import type { Planned } from '../fetchers/planned.ts';
import type { Node } from './node.ts';
import { planStatus, type PlanStatus, type PlanTotals } from './plan-outcome.ts';

type Rest = Pick<PlanTotals, 'images' | 'requests' | 'retries' | 'durationMs'>;

/** Counts nodes as they settle, each once. */
export function createPlanTotals(): {
  add(node: Node<Planned>, isExplored: boolean): void;
  read(rest: Rest): PlanTotals;
} {
  const count: Record<PlanStatus, number> = { present: 0, absent: 0, failed: 0, cancelled: 0 };
  const counted = new Set<string>();
  let nodes = 0;
  let bytesToFetch = 0;
  let unknownSizes = 0;
  let unknownDependencies = 0;

  /** Two names that lead to one URL bring it once, and so do two images that have a layer in common. */
  const addOnce = (what: string, bytes: number | undefined): void => {
    if (counted.has(what)) return;
    counted.add(what);
    if (bytes === undefined) unknownSizes += 1;
    else bytesToFetch += bytes;
  };

  return {
    add(node, isExplored) {
      const { found } = node;
      nodes += 1;
      count[planStatus(node)] += 1;
      if (found?.status !== 'absent') return;
      if (found.parts) found.parts.forEach((bytes, digest) => addOnce(digest, bytes));
      else if (found.url !== undefined) addOnce(found.url, found.bytesToFetch);
      if (!isExplored) unknownDependencies += 1;
    },
    read: ({ images, ...rest }) => ({
      ...{ images, nodes, ...count },
      ...{ bytesToFetch, unknownSizes, unknownDependencies, ...rest },
    }),
  };
}
