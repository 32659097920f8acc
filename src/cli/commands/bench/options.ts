import { availableParallelism } from 'node:os';

import type { BenchOptions } from '../../../bench/run-bench.ts';
import { benchOptions } from '../../options/bench.ts';
import type { CommandLine } from '../../options/command-line.ts';
import type { Environment } from '../../options/environment.ts';
import { appliesTo, usageError } from '../../options/option.ts';
import { isOn, valueOf, valuesOf } from '../../options/read.ts';
import { type OptionName, optionTable } from '../../options/table.ts';
import { parseCount, parseRate, parseSize, parseTime } from '../../options/values.ts';

/** A generated image is in memory while it is made. */
const maxSize = 64 * 1024 ** 2;
const maxCount = 100_000;
/** Larger numbers of settings, jobs, workers or rounds are taken for typing errors. */
const maxTried = 1024;

/** Options that only describe how images are generated and served. */
const making = ['images', 'size', 'compressibility', 'unsigned', 'tree', 'registry', 'delay', 'rate', 'loss'] as const;

type Settings = Pick<BenchOptions, 'corpus' | 'settings' | 'rounds' | 'jobsPerHost' | 'environment'>;

/** The lists of images to fetch. @throws USAGE for a list that can be read only once */
export function benchLists(line: CommandLine): readonly string[] {
  return valuesOf(line, 'from-file', (text, option) => {
    if (text === '-') throw usageError('a list is read in each round: want a file', option);
    return text;
  });
}

/** The settings of a measurement. @param requests - the number of images on the command line. @throws USAGE */
export function benchSettings(line: CommandLine, environment: Environment, requests: number): Settings {
  const jobs = valueOf(line, 'jobs', parseCounts) ?? [1, 4, 16];
  const workers = valueOf(line, 'workers', parseCounts) ?? [...new Set([1, availableParallelism()])];
  const isGiven = line.operands.length + line.values('from-file').length > 0;
  return {
    corpus: isGiven ? given(line, requests) : made(line),
    settings: jobs.flatMap((jobCount) => workers.map((workerCount) => ({ jobs: jobCount, workers: workerCount }))),
    rounds: valueOf(line, 'rounds', atMost(maxTried)) ?? 3,
    jobsPerHost: valueOf(line, 'jobs-per-host', parseCount),
    environment: environmentOfRuns(environment, isGiven),
  };
}

function made(line: CommandLine): BenchOptions['corpus'] {
  const registry = isOn(line, 'registry');
  if (registry && isOn(line, 'tree')) throw usageError('images of a registry need no others', '--tree');
  return {
    kind: 'made',
    images: valueOf(line, 'images', atMost(maxCount)) ?? 40,
    size: valueOf(line, 'size', parseImageSize) ?? 4 * 1024 ** 2,
    compressibility: valueOf(line, 'compressibility', percentUpTo(100)) ?? 50,
    signed: !registry && !isOn(line, 'unsigned'),
    tree: isOn(line, 'tree'),
    registry,
    delayMs: valueOf(line, 'delay', parseTime) ?? 0,
    rate: valueOf(line, 'rate', parseRate) ?? 0,
    loss: valueOf(line, 'loss', percentUpTo(50)) ?? 0,
  };
}

/** All other options are passed on to the fetch, which parses them. */
function given(line: CommandLine, requests: number): BenchOptions['corpus'] {
  for (const name of making) {
    const [value] = line.values(name);
    if (value) throw usageError('has no meaning for images that are named', value.option);
  }
  const own: ReadonlySet<string> = new Set<OptionName>(
    benchOptions.map(({ name }) => name).filter((name) => name !== 'from-file' && name !== 'no-deps'),
  );
  const args = optionTable.flatMap((spec) => {
    const { name } = spec;
    if (!appliesTo(spec, 'bench') || own.has(name) || name === 'output' || name === 'dir') return [];
    // the rows of the table have these names
    return line.values(name as OptionName).map(({ text }) => `--${name}=${text}`);
  });
  return { kind: 'given', args: [...args, '--', ...line.operands.map(({ text }) => text)], requests };
}

/** Options for the fetches are passed on their command lines. A local server needs no proxy. */
function environmentOfRuns(environment: Environment, isGiven: boolean): Environment {
  return Object.fromEntries(
    Object.entries(environment).filter(
      ([name]) => !name.startsWith('LONGSHORE_') && (isGiven || !/_proxy$/i.test(name)),
    ),
  );
}

function parseCounts(text: string, option: string): readonly number[] {
  return [...new Set(text.split(',').map((part) => atMost(maxTried)(part.trim(), option)))];
}

function atMost(most: number): (text: string, option: string) => number {
  return (text, option) => {
    const count = parseCount(text, option);
    if (count > most) throw usageError(`at most ${most}, got ${count}`, option);
    return count;
  };
}

function parseImageSize(text: string, option: string): number {
  const size = parseSize(text, option);
  if (size > maxSize) throw usageError('at most 64M', option);
  return size;
}

function percentUpTo(most: number): (text: string, option: string) => number {
  return (text, option) => {
    const percent = parseCount(text, option, 0);
    if (percent > most) throw usageError(`want a percentage from 0 to ${most}`, option);
    return percent;
  };
}
