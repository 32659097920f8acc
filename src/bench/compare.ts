import { isDeepStrictEqual } from 'node:util';

import type { BenchResult, SettingResult, Spread } from './result.ts';
import type { BenchOptions } from './run-bench.ts';
import type { Setting } from './sweep.ts';

type Verdict = 'same' | 'faster' | 'slower' | 'unclear';

export type Comparison = {
  readonly jobs: number;
  readonly workers: number;
  readonly verdict: Verdict;
  /** The new median divided by the old one. */
  readonly ratio: number;
};

/** The settings that both results have, in the order of the new one. */
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

/** Says why a result cannot be compared with the planned measurement; undefined when it can. */
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

/** Settings with overlapping ranges count as equal: the difference is noise. */
function verdictOf(old: Spread, now: Spread): Verdict {
  if (now.min > old.max) return 'slower';
  return now.max < old.min ? 'faster' : 'same';
}

function isSame(a: Setting, b: Setting): boolean {
  return a.jobs === b.jobs && a.workers === b.workers;
}

const [width, rowHeight, left, right] = [720, 34, 170, 90];

/**
 * The settings as bars of an SVG: the median, a line from the shortest to the longest round, and the best one in
 * another colour.
 */
export function chart(settings: readonly SettingResult[], best: Pick<SettingResult, 'jobs' | 'workers'>): string {
  const longest = Math.max(...settings.map(({ seconds }) => seconds.max));
  const x = (seconds: number): string =>
    (left + (longest > 0 ? seconds / longest : 0) * (width - left - right)).toFixed(1);
  const bars = settings.map(({ jobs, workers, seconds }, index) => {
    const [top, middle] = [index * rowHeight + 6, index * rowHeight + rowHeight / 2];
    const kind = jobs === best.jobs && workers === best.workers ? 'best' : 'bar';
    const length = (Number(x(seconds.median)) - left).toFixed(1);
    return [
      `<text x="${left - 8}" y="${middle + 5}" text-anchor="end">jobs ${jobs}, workers ${workers}</text>`,
      `<rect class="${kind}" x="${left}" y="${top}" width="${length}" height="${rowHeight - 12}" rx="3"/>`,
      `<path d="M${x(seconds.min)} ${middle}H${x(seconds.max)}"/>`,
      `<text x="${Number(x(seconds.max)) + 8}" y="${middle + 5}">${seconds.median.toFixed(2)} s</text>`,
    ].join('');
  });
  const height = settings.length * rowHeight;
  return `<svg class="bench" viewBox="0 0 ${width} ${height}" role="img" aria-label="Seconds of each setting">${bars.join('\n')}</svg>`;
}
