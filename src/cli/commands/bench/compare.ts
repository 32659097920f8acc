import { compare, type Comparison, obstacle } from '../../../bench/compare.ts';
import { type BenchResult, benchResult } from '../../../bench/result.ts';
import { show } from '../../../internal.ts';
import { readNamed } from '../../../system/files.ts';
import { usageError } from '../../options/option.ts';
import { reasonOf } from '../../output/error-line.ts';

/** Far more than any result needs. */
const maxBytes = 64 * 1024 * 1024;

const words = {
  same: 'the same, within the noise',
  faster: 'faster',
  slower: 'slower',
  unclear: 'cannot be told from single rounds',
} as const satisfies Record<Comparison['verdict'], string>;

/** Reads a result that `--output=json` wrote. @throws USAGE */
export async function readResult(path: string, option: string): Promise<BenchResult> {
  const bytes = await readNamed(path, maxBytes).catch((error: unknown) => {
    throw usageError(`cannot read "${show(path)}": ${reasonOf(error)}`, option);
  });
  const parsed = benchResult.safeParse(bytes.length > maxBytes ? undefined : parseJson(bytes.toString()));
  if (!parsed.success) throw usageError(`"${show(path)}" is no result of longshore bench --output=json`, option);
  return parsed.data;
}

/** @throws USAGE for a result that has no setting in common with the planned measurement */
export function requireComparable(old: BenchResult, planned: Parameters<typeof obstacle>[1]): void {
  const why = obstacle(old, planned);
  if (why !== undefined) throw usageError(`cannot be compared: ${why}`, '--compare');
}

/** One line for each setting that both results have. */
export function compareWith(
  old: BenchResult,
  now: BenchResult,
): { readonly lines: readonly string[]; readonly isSlower: boolean } {
  const comparisons = compare(old, now);
  const lines = comparisons.map(({ jobs, workers, verdict, ratio }) => {
    const percent = Math.abs(Math.round((ratio - 1) * 100));
    const by = verdict === 'faster' || verdict === 'slower' ? `: ${percent} % ${ratio < 1 ? 'less' : 'more'} time` : '';
    return `jobs ${jobs}, workers ${workers}: ${words[verdict]}${by}`;
  });
  const isElsewhere = old.machine.model !== now.machine.model || old.machine.processors !== now.machine.processors;
  if (isElsewhere) lines.push('The other result is of another machine.');
  const [before, after] = [old.corpus, now.corpus];
  if (before.kind === 'given' && after.kind === 'given' && before.bytes !== after.bytes) {
    lines.push('Not the same bytes were fetched.');
  }
  return { lines, isSlower: comparisons.some(({ verdict }) => verdict === 'slower') };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // without JSON, it is no result
  }
}
