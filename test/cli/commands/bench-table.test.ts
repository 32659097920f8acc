import test from 'ava';

import { benchTable } from '../../../src/cli/commands/bench-table.ts';
import { benchResult, settingResult } from '../../helpers/bench-result.ts';

test('settings whose rounds overlap with the best one count as being as good', (t) => {
  const near = settingResult({ jobs: 1, seconds: { median: 2.2, min: 2.05, max: 2.3 } });
  const far = settingResult({ jobs: 2, seconds: { median: 3, min: 2.9, max: 3.1 } });
  const result = benchResult({ settings: [settingResult(), near, far], bound: 'network' });
  t.regex(
    benchTable(result),
    /^Best: --jobs 4 --workers 2 \(2\.00 s\), and 1 more within the noise; the network holds/m,
  );
  t.regex(benchTable({ ...result, settings: [settingResult(), far] }), /^Best: .* \(2\.00 s\); the network holds/m);
  t.regex(benchTable({ ...result, settings: [settingResult()] }), /^This setting \(2\.00 s\); the network holds/m);
});
