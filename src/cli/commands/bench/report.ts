import { chart } from '../../../bench/compare.ts';
import { eventsIn } from '../../../bench/read-events.ts';
import type { BenchResult } from '../../../bench/result.ts';
import { escapeHtml } from '../../../report/html.ts';
import { reportPage } from '../../../report/page.ts';
import { createTimeline, type Timeline, type TimelineRecorder } from '../../../report/timeline.ts';
import { machineFacts } from '../fetch/report.ts';
import { type BenchTable, benchText } from './table.ts';

/** A page without external parts: the sweep, and the last run of its fastest setting. */
export function benchPage(result: BenchResult, timeline: Timeline): Iterable<string> {
  const { machine, settings, best } = result;
  const { corpus, settings: table, details, conclusion } = benchText(result);
  const sweep = `<p class="verdict">${escapeHtml(conclusion)}</p>
<p class="note">${escapeHtml(corpus)}. Seconds of each setting: the median of its rounds, and a line from the shortest to the longest.</p>
${chart(settings, best)}
${htmlTable(table)}`;
  const lines = details?.lines.map((line) => `<p class="note">${escapeHtml(line)}</p>`) ?? [];
  return reportPage(timeline, {
    title: 'longshore bench',
    facts: machineFacts(machine),
    sections: [
      { title: 'Settings', html: sweep },
      ...(details ? [{ title: details.title, html: [...details.tables.map(htmlTable), ...lines].join('\n') }] : []),
      { title: `The last run with --jobs ${best.jobs} --workers ${best.workers}, the fastest`, html: '' },
    ],
  });
}

function htmlTable({ head, rows }: BenchTable): string {
  const titles = head.map((title) => `<th scope="col">${escapeHtml(title.toLowerCase())}</th>`).join('');
  const cell = (text: string): string => `<td class="number">${escapeHtml(text)}</td>`;
  const body = rows.map((row) => `<tr>${row.map(cell).join('')}</tr>`).join('');
  return `<div class="scroll"><table><thead><tr>${titles}</tr></thead><tbody>${body}</tbody></table></div>`;
}

/** Reads the events of a run from the file that it wrote. */
export async function readTimeline(path: string): Promise<Timeline> {
  let recorder: TimelineRecorder | undefined;
  let lastMs = 0;
  for await (const [event, timeMs] of eventsIn(path)) {
    lastMs = timeMs;
    recorder ??= createTimeline(timeMs);
    recorder.add(event, timeMs);
  }
  return (recorder ?? createTimeline(lastMs)).read(lastMs);
}
