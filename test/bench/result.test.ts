import test from 'ava';

import { boundOf, type SettingResult, spreadOf, type Surroundings } from '../../src/bench/result.ts';
import { settingResult } from '../helpers/bench-result.ts';

const quiet: Surroundings = { processors: 2, machineBusy: 0.2, slots: 4 };
const idle: Partial<SettingResult> = {
  seconds: { median: 10, min: 10, max: 10 },
  batchSeconds: 9,
  cpuSeconds: 2,
  phases: { resolve: 0, download: 0, verify: 0, commit: 0 },
};
const bound = (parts: Partial<SettingResult>, around: Partial<Surroundings> = {}) =>
  boundOf(settingResult({ ...idle, ...parts }), { ...quiet, ...around });

test('a batch that is shorter than the start of the process is limited by start-up', (t) => {
  t.is(bound({ batchSeconds: 4 }), 'start-up');
});

test('busy processors are the limit; if other processes use them, it is unclear', (t) => {
  t.is(bound({ cpuSeconds: 17 }), 'processor');
  t.is(bound({ cpuSeconds: 12 }, { machineBusy: 0.9 }), 'processor');
  t.is(bound({ cpuSeconds: 2 }, { machineBusy: 0.9 }), 'unclear');
});

test('start-up uses one processor and does not count against the others', (t) => {
  t.is(bound({ batchSeconds: 6, cpuSeconds: 4 + 10 }), 'processor');
});

test('idle processors and slots full of transfers mean the network', (t) => {
  t.is(bound({ phases: { resolve: 0, download: 30, verify: 1, commit: 1 } }), 'network');
});

test('idle processors and slots with few transfers mean latency', (t) => {
  t.is(bound({ phases: { resolve: 30, download: 1, verify: 1, commit: 1 } }), 'latency');
});

test('where nothing stands out, it is unclear', (t) => {
  t.is(bound({ phases: { resolve: 10, download: 14, verify: 1, commit: 1 } }), 'unclear');
  t.is(bound({ phases: { resolve: 30, download: 1, verify: 1, commit: 1 }, cpuSeconds: 12 }), 'unclear');
  t.is(bound({ phases: { resolve: 1, download: 1, verify: 30, commit: 1 } }), 'unclear');
});

test('the median is the value in the middle, or the mean of the two there', (t) => {
  t.deepEqual(spreadOf([3, 1, 10]), { median: 3, min: 1, max: 10 });
  t.deepEqual(spreadOf([4, 1, 2, 10]), { median: 3, min: 1, max: 10 });
  t.deepEqual(spreadOf([7]), { median: 7, min: 7, max: 7 });
});
