import test from 'ava';

import { benchPage } from '../../../../src/cli/commands/bench/report.ts';
import { benchResult, settingResult } from '../../../helpers/bench-result.ts';
import { madeRun } from '../../../helpers/made-run.ts';

const pageOf = (...parts: Parameters<typeof benchResult>): string =>
  [...benchPage(benchResult(...parts), madeRun({ images: 3 }))].join('');

test('the page has the sweep, marks the best setting, and shows its last run', (t) => {
  const slow = settingResult({ jobs: 1, seconds: { median: 4, min: 3, max: 5 } });
  const page = pageOf({ settings: [slow, settingResult()] });
  t.regex(page, /jobs 1, workers 2<\/text><rect class="bar" x="170" y="6" width="368\.0"/);
  t.regex(page, /jobs 4, workers 2<\/text><rect class="best" x="170" y="40" width="184\.0"/);
  t.regex(page, /<path d="M446\.0 17H630\.0"\/>/);
  t.is(page.match(/<rect class="b/g)?.length, 2);
  t.regex(page, /<h2>The last run with --jobs 4 --workers 2, the fastest<\/h2>.*All 3 images are there\./s);
});

test('the name of a machine is shown as text on the page', (t) => {
  const { machine } = benchResult();
  const page = pageOf({ machine: { ...machine, model: '<img src=x>&\u001b[31m' } });
  t.true(page.includes('&lt;img src=x&gt;&amp;'));
  t.notRegex(page, /<img|\u001b/);
});
