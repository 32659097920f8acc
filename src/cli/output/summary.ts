import prettyBytes from 'pretty-bytes';

import type { Totals } from '../../index.ts';
import { formatDuration } from './duration.ts';

const statuses = ['fetched', 'present', 'failed', 'blocked', 'cancelled'] as const;

/** The last line of a run. */
export function summaryLine(totals: Totals): string {
  const counts = statuses.filter((status) => totals[status] > 0).map((status) => `${totals[status]} ${status}`);
  const { nodes, images, bytesDownloaded, durationMs } = totals;
  const dependencies = nodes > images ? ` and ${plural(nodes - images, 'dependency', 'dependencies')}` : '';
  const rate = durationMs > 0 ? `, ${prettyBytes((bytesDownloaded / durationMs) * 1000, { binary: true })}/s` : '';
  const bytes = bytesDownloaded > 0 ? `${prettyBytes(bytesDownloaded, { binary: true })} ` : '';
  return (
    `${plural(images, 'image', 'images')}${dependencies}: ${counts.join(', ') || 'nothing to do'}; ` +
    `${bytes}in ${formatDuration(durationMs)}${bytes && rate}`
  );
}

function plural(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}
