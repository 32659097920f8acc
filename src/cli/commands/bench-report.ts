import { chart } from '../../bench/chart.ts';
import type { BenchResult } from '../../bench/result.ts';
import { escapeHtml } from '../../report/html.ts';
import { reportPage } from '../../report/page.ts';
import type { Timeline } from '../../report/timeline.ts';
import { benchTable } from './bench-table.ts';
import { machineFacts } from './machine-facts.ts';

/** One page with everything in it: the sweep, and the last run of its fastest setting. */
export function benchPage(result: BenchResult, timeline: Timeline): Iterable<string> {
  const { machine, settings, best } = result;
  const sweep = `<p class="note">Seconds of each setting: the median of its rounds, and a line from the shortest to the longest.</p>
${chart(settings, best)}
<pre>${escapeHtml(benchTable(result))}</pre>`;
  return reportPage(timeline, {
    title: 'longshore bench',
    facts: machineFacts(machine),
    sections: [
      { title: 'Settings', html: sweep },
      { title: `The last run with --jobs ${best.jobs} --workers ${best.workers}, the fastest`, html: '' },
    ],
  });
}
