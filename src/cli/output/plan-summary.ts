import prettyBytes from 'pretty-bytes';

import type { PlanTotals } from '../../index.ts';

/** The last line of a plan. */
export function planSummary(totals: PlanTotals): string {
  const { nodes, present, absent, failed, cancelled, bytesToFetch, unknownSizes, unknownDependencies } = totals;
  const counts = [
    `${present} present`,
    `${absent} to fetch`,
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(cancelled > 0 ? [`${cancelled} cancelled`] : []),
  ];
  const sizes = unknownSizes > 0 ? ` and ${unknownSizes} of unknown size` : '';
  const hidden = unknownDependencies > 0 ? `; the dependencies of ${unknownDependencies} are not known yet` : '';
  const bytes = prettyBytes(bytesToFetch, { binary: true });
  return `${nodes} ${nodes === 1 ? 'image' : 'images'}: ${counts.join(', ')}; ${bytes} to come${sizes}${hidden}`;
}
