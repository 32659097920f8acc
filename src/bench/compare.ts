import { isDeepStrictEqual } from 'node:util';

import type { BenchResult, Spread } from './result.ts';
import type { BenchOptions } from './run-bench.ts';
import type { Setting } from './sweep.ts';

export type Verdict = 'same' | 'faster' | 'slower' | 'unclear';

export type Comparison = {
  readonly jobs: number;
  readonly workers: number;
  readonly verdict: Verdict;
  /** The new median by the old one. */
  readonly ratio: number;
};

/** Settings that both results have, in the new one's order. */
export function compare(old: BenchResult, now: BenchResult): readonly Comparison[] {
  const canTell = Math.min(old.rounds, now.rounds) > 1; // a single round has no range
  return now.settings.flatMap((setting) => {
    const before = old.settings.find((other) => isSame(other, setting));
    if (!before) return [];
    const { jobs, workers, seconds } = setting;
    const verdict = canTell ? verdictOf(before.seconds, seconds) : 'unclear';
    return [{ jobs, workers, verdict, ratio: seconds.median / before.seconds.median }];
  });
}

/** What keeps a result from being compared with what is about to be measured, in words; undefined when nothing does. */
export function obstacle(
  old: BenchResult,
  { corpus, settings }: Pick<BenchOptions, 'corpus' | 'settings'>,
): string | undefined {
  const isAlike =
    corpus.kind === 'made'
      ? isDeepStrictEqual(old.corpus, corpus)
      : old.corpus.kind === 'given' && old.corpus.requests === corpus.requests;
  if (!isAlike) return 'it was measured with other images';
  const shares = settings.some((setting) => old.settings.some((other) => isSame(other, setting)));
  return shares ? undefined : 'it has none of these settings';
}

/** Ranges that overlap are the same: what is between them is noise. */
function verdictOf(old: Spread, now: Spread): Verdict {
  if (now.min > old.max) return 'slower';
  return now.max < old.min ? 'faster' : 'same';
}

function isSame(a: Setting, b: Setting): boolean {
  return a.jobs === b.jobs && a.workers === b.workers;
}
