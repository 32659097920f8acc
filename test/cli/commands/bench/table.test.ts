import test from 'ava';

import { benchTable } from '../../../../src/cli/commands/bench/table.ts';
import { benchResult, settingResult } from '../../../helpers/bench-result.ts';

test('settings whose rounds overlap with the best one count as equally good', (t) => {
  const near = settingResult({ jobs: 1, seconds: { median: 2.2, min: 2.05, max: 2.3 } });
  const far = settingResult({ jobs: 2, seconds: { median: 3, min: 2.9, max: 3.1 } });
  const result = benchResult({ settings: [settingResult(), near, far], bound: 'network' });
  t.regex(
    benchTable(result),
    /^No setting is better beyond the noise: --jobs 4 --workers 2, --jobs 1 --workers 2 take the same time \(2\.00 s\); the network holds/m,
  );
  t.regex(benchTable({ ...result, settings: [settingResult(), far] }), /^Best: .* \(2\.00 s\); the network holds/m);
  t.regex(benchTable({ ...result, settings: [settingResult()] }), /^This setting \(2\.00 s\); the network holds/m);
});

const ingest = { wait: 1, read: 1, inflate: 2, hash: 0.5, check: 0.25, write: 0.25, sync: 0 };
const depths = {
  waiting: { mean: 3.14, most: 9 },
  transferring: { mean: 2, most: 4 },
  working: { mean: 0.5, most: 2 },
};

test('phases, steps, images at a time and threads are shown', (t) => {
  const threads = { main: 1, index: 0.125, 'worker\u001b': 2 };
  const bytes = { seconds: { median: 2, min: 2, max: 2 }, bytesPerSecond: 5 * 1024 ** 2 };
  const phases = { wait: 0, resolve: 1, download: 2, verify: 1, commit: 0 };
  const text = benchTable(benchResult({ settings: [settingResult({ ...bytes, phases, ingest, depths, threads })] }));
  t.true(
    text.includes(`Where the time went with --jobs 4 --workers 2, of all images together:

PHASE     SECONDS  SHARE  MIB/S
wait         0.00    0 %      -
resolve      1.00   25 %   10.0
download     2.00   50 %    5.0
verify       1.00   25 %   10.0
commit       0.00    0 %      -

INGEST   SECONDS  SHARE  MIB/S
wait        1.00   20 %   10.0
read        1.00   20 %   10.0
inflate     2.00   40 %    5.0
hash        0.50   10 %   20.0
check       0.25    5 %   40.0
write       0.25    5 %   40.0
sync        0.00    0 %      -

Images at a time: waiting 3.1 (most 9), transferring 2.0 (most 4), working 0.5 (most 2)
Processor seconds: main 1.00, index 0.13, worker\\x1b 2.00
`),
    text,
  );
});

test('for an older result only the phases are shown', (t) => {
  const text = benchTable(benchResult({ settings: [settingResult()] }));
  t.regex(text, /^commit +1\.00 +20 %/m);
  t.notRegex(text, /INGEST|Images at a time|Processor/);
});
