import { runBench } from '../../../bench/run-bench.ts';
import type { Timeline } from '../../../report/timeline.ts';
import { binFile, type Run } from '../../command.ts';
import { usageError } from '../../options/option.ts';
import { textOf, valueOf } from '../../options/read.ts';
import { errorLines } from '../../output/error-line.ts';
import { exitCodes } from '../../output/exit-code.ts';
import { toSafeJson } from '../../output/table.ts';
import { write } from '../../output/write.ts';
import { readVersion } from '../../version.ts';
import { readRequests } from '../fetch/requests.ts';
import { requireWritable, writeOutput } from '../output-files.ts';
import { compareWith, readResult, requireComparable } from './compare.ts';
import { benchLists, benchSettings } from './options.ts';
import { benchTable } from './table.ts';

/** Exit code of `--compare` when a setting is slower by more than the noise. */
const slowerExitCode = 9;

export const runBenchCommand: Run = async (io, line) => {
  const { stdout, stderr, environment, signal } = io;
  const old = await valueOf(line, 'compare', readResult);
  const sources = { asked: line.operands, lists: benchLists(line), names: 'discovery' as const, io };
  const { apps, tags, errors } = await readRequests(sources);
  if (errors.length > 0) {
    await write(stderr, errorLines(errors));
    return exitCodes.usage;
  }
  if (tags.length > 0) throw usageError('tags that are to be chosen cannot be measured: name the images');
  if (sources.lists.length > 0 && apps.length === 0)
    throw usageError('there is nothing to measure: no list names an image');
  const settings = benchSettings(line, environment, apps.length);
  if (old) requireComparable(old, settings);
  const report = await valueOf(line, 'report', requireWritable);

  let timeline: Timeline | undefined;
  const bench = await runBench(
    {
      ...settings,
      bin: binFile(),
      version: readVersion(),
      say: (text) => void stderr.write(`${text}\n`),
      ...(report !== undefined && {
        onFastest: async (events) => {
          const { readTimeline } = await import('./report.ts');
          timeline = await readTimeline(events);
        },
      }),
    },
    signal,
  );
  if (bench.kind === 'failed') {
    await write(stderr, bench.stderr);
    return bench.exitCode;
  }
  const { result } = bench;
  const isJson = textOf(line, 'output') === 'json';
  await write(stdout, isJson ? `${toSafeJson(result)}\n` : benchTable(result));
  const { lines, isSlower } = old ? compareWith(old, result) : { lines: [], isSlower: false };
  await write(isJson ? stderr : stdout, lines.map((text) => `${text}\n`).join(''));
  if (report !== undefined && timeline) {
    const { benchPage } = await import('./report.ts');
    const failure = writeOutput({ path: report, what: 'the report' }, benchPage(result, timeline));
    if (failure) throw failure;
  }
  return isSlower ? slowerExitCode : exitCodes.success;
};
