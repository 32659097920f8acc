import type { Run } from '../command.ts';
import { unknownVariables } from '../options/environment.ts';
import { isOn, textOf, valueOf } from '../options/read.ts';
import { optionTable } from '../options/table.ts';
import { exitCodes } from '../output/exit-code.ts';
import { progressMode } from '../output/progress-mode.ts';
import { insecureWarnings } from './insecure-warnings.ts';
import { openFinder } from './open-finder.ts';
import { prepare } from './prepare.ts';
import { requireWritable } from './report-file.ts';
import { runFetch } from './run-fetch.ts';

export const runFetchCommand: Run = async (io, line) => {
  const prepared = await prepare(io, line);
  if (!prepared) return exitCodes.usage;
  const { apps, hasFiles, options, environment } = prepared;

  await using resources = new AsyncDisposableStack();
  const access = options.pullPolicy !== 'never' || hasFiles ? 'fill' : 'use';
  const run = {
    apps,
    output: textOf(line, 'output') === 'json' ? ('json' as const) : ('text' as const),
    full: isOn(line, 'full'),
    progress: progressMode(textOf(line, 'progress'), io.stderr.isTTY, environment),
    events: textOf(line, 'events'),
    report: await valueOf(line, 'report', requireWritable),
    warnings: [...unknownVariables(optionTable, environment), ...insecureWarnings(options.insecure)],
  };
  return await runFetch(io, run, (onEvent) => openFinder(resources, { ...prepared, access }, onEvent));
};
