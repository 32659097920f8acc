import { chart } from '../../../bench/compare.ts';
import { eventsIn } from '../../../bench/read-events.ts';
import type { BenchResult } from '../../../bench/result.ts';
import { escapeHtml, htmlTable } from '../../../report/html.ts';
import { reportPage } from '../../../report/page.ts';
import { createTimeline, type Timeline, type TimelineRecorder } from '../../../report/timeline.ts';
import { machineFacts } from '../fetch/report.ts';
import { benchText } from './table.ts';

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
