import { type Phase, phases } from '../measure/phases.ts';
import { phaseName, type Status, statuses, statusMarks } from './data.ts';
import { formatBytes, formatNumber, formatTime } from './format.ts';
import { escapeHtml } from './html.ts';
import type { Timeline } from './timeline.ts';

/** The result of a run: a sentence, the shares of each status, and numbers. */
export function summary(timeline: Timeline): string {
  const counts = statusCounts(timeline);
  return `<p class="verdict ${isGood(counts) ? 'good' : 'bad'}">${verdict(timeline, counts)}</p>
${shares(counts, timeline.nodes)}
<dl class="numbers">${numbers(timeline)
    .map(([name, value, more]) => `<div><dt>${name}</dt><dd>${value}${more && `<small>${more}</small>`}</dd></div>`)
    .join('')}</dl>`;
}

/** The colours of the phases, and the share of the images' time in each. */
export function phaseLegend({ series, isPush }: Timeline): string {
  const sums = series.images.map((values) => values.reduce((sum, value) => sum + value, 0) * series.sliceMs);
  const items = phases.map((phase, at) => {
    if (isPush && !ofPush.includes(phase)) return '';
    const time = formatTime(sums[at] ?? 0);
    return `<li><i class="swatch fill-${phase}"></i><b>${phaseName(phase, isPush)}</b> ${meanings[phase]}<small>${time} in all</small></li>`;
  });
  return `<ul class="legend">${items.join('')}</ul>`;
}

/** The phases that a push has. */
const ofPush: readonly Phase[] = ['wait', 'resolve', 'download'];

const meanings: Readonly<Record<Phase, string>> = {
  wait: 'for its turn, or a place',
  resolve: 'until the first byte',
  download: 'until the last byte',
  verify: 'the rest of ingest, checks',
  commit: 'until the store has it',
  needs: 'done itself, others awaited',
};

type Counts = Readonly<Record<Status, number>>;

function statusCounts({ counts, nodes }: Timeline): Counts {
  const known = Object.values(counts).reduce((sum, count) => sum + count, 0);
  return { ...counts, open: Math.max(0, nodes - known) };
}

function thereOf({ fetched, present, pushed }: Timeline['counts']): number {
  return fetched + present + pushed;
}

function isGood({ failed, cancelled, open }: Counts): boolean {
  return failed + cancelled + open === 0;
}

function verdict({ nodes }: Timeline, counts: Counts): string {
  const there = thereOf(counts);
  if (nodes === 0) return 'There was nothing to do.';
  if (isGood(counts) && there < nodes)
    return `${formatNumber(there)} of ${formatNumber(nodes)} images are there, and nothing failed.`;
  if (isGood(counts)) return nodes === 1 ? 'The image is there.' : `All ${formatNumber(nodes)} images are there.`;
  const rest = (['failed', 'cancelled'] as const)
    .filter((status) => counts[status] > 0)
    .map((status) => `${formatNumber(counts[status])} ${status}`);
  if (counts.open > 0) rest.push(`${formatNumber(counts.open)} without an outcome`);
  return `${formatNumber(there)} of ${formatNumber(nodes)} images are there: ${rest.join(', ')}.`;
}

/** One bar across the page, and a legend of its parts. */
function shares(counts: Counts, nodes: number): string {
  const present = statuses.filter((status) => counts[status] > 0);
  let x = 0;
  const parts = present.map((status) => {
    const width = (counts[status] / Math.max(1, nodes)) * 100;
    const part = `<rect class="status-${status}" x="${x.toFixed(3)}%" width="${width.toFixed(3)}%" height="100%"/>`;
    x += width;
    return part;
  });
  const items = present.map(
    (status) =>
      `<li class="status-${status}"><i class="mark">${statusMarks[status]}</i>${formatNumber(counts[status])} ${status}</li>`,
  );
  return `<svg class="shares" width="100%" height="10" aria-hidden="true">${parts.join('')}</svg>
<ul class="counts">${items.join('')}</ul>`;
}

function numbers(timeline: Timeline): readonly (readonly [name: string, value: string, more: string])[] {
  const { totals, nodes, requests, counts } = timeline;
  const bytes = totals?.bytesDownloaded ?? timeline.bytesDownloaded;
  const durationMs = totals?.durationMs ?? timeline.durationMs;
  const seconds = Math.max(durationMs, 1) / 1000;
  const there = thereOf(counts);
  return [
    ['Images', formatNumber(nodes), `${formatNumber(requests)} asked for`],
    ['Wall time', formatTime(durationMs), `${formatNumber(there / seconds, 1)} images/s`],
    [timeline.isPush ? 'Sent' : 'Downloaded', formatBytes(bytes), `${formatBytes(bytes / seconds)}/s`],
    ...(totals?.bytesStored === undefined ? [] : [['Stored', formatBytes(totals.bytesStored), ''] as const]),
    ...(totals ? [['Requests', formatNumber(totals.requests), ''] as const] : []),
    ['Retries', formatNumber(totals?.retries ?? timeline.retries), ''],
    ['Warnings', formatNumber(timeline.warnings.count), ''],
  ];
}

/** The warnings of the run. */
export function warningList({ warnings: { texts, count } }: Timeline): string {
  if (count === 0) return '';
  const more = count > texts.length ? `<p>… and ${formatNumber(count - texts.length)} more.</p>` : '';
  const items = texts.map((text) => `<li>${escapeHtml(text)}</li>`).join('');
  return `<section><h2>Warnings</h2><ul class="warnings">${items}</ul>${more}</section>`;
}
