import test from 'ava';

import { compare, obstacle } from '../../src/bench/compare.ts';
import { benchResult, madeCorpus, settingResult } from '../helpers/bench-result.ts';

const old = benchResult({ settings: [settingResult({ seconds: { median: 2, min: 1.9, max: 2.1 } })] });
const verdict = (min: number, max: number, rounds = 3) =>
  compare(
    old,
    benchResult({ rounds, settings: [settingResult({ seconds: { median: (min + max) / 2, min, max } })] }),
  )[0]?.verdict;

test('ranges that overlap, or touch, count as equal', (t) => {
  t.is(verdict(2.05, 3), 'same');
  t.is(verdict(2.1, 3), 'same');
  t.is(verdict(1, 1.9), 'same');
  t.is(verdict(1.95, 2.05), 'same');
});

test('ranges apart are faster or slower', (t) => {
  t.is(verdict(2.11, 2.2), 'slower');
  t.is(verdict(1.8, 1.89), 'faster');
});

test('with single rounds there is no difference, whichever result has them', (t) => {
  t.is(verdict(9, 9, 1), 'unclear');
  t.is(compare({ ...old, rounds: 1 }, benchResult({ settings: [settingResult()] }))[0]?.verdict, 'unclear');
});

test('only settings that both results have are compared, and the ratio is that of the medians', (t) => {
  const now = benchResult({
    settings: [
      settingResult({ jobs: 16 }),
      settingResult({ seconds: { median: 3, min: 2.9, max: 3.1 } }),
      settingResult({ workers: 1 }),
    ],
  });
  t.deepEqual(compare(old, now), [{ jobs: 4, workers: 2, verdict: 'slower', ratio: 1.5 }]);
});

test('a result for other images, or without a common setting, cannot be compared', (t) => {
  const given = { kind: 'given', args: [], requests: 1 } as const;
  const settings = [{ jobs: 4, workers: 2 }];
  t.is(obstacle(old, { corpus: madeCorpus, settings }), undefined);
  t.regex(obstacle(old, { corpus: { ...madeCorpus, rate: 9 }, settings }) ?? '', /other images/);
  t.regex(obstacle(old, { corpus: given, settings }) ?? '', /other images/);
  t.regex(obstacle(old, { corpus: madeCorpus, settings: [{ jobs: 4, workers: 3 }] }) ?? '', /settings/);
  const real = benchResult({ corpus: { kind: 'given', requests: 1, images: 5, bytes: 9 } });
  t.is(obstacle(real, { corpus: given, settings }), undefined);
});
