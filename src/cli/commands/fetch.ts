import { toErrorData } from '../../index.ts';
import type { Run } from '../command.ts';
import { readConfig } from '../config/read-config.ts';
import { directoriesOf } from '../options/directories.ts';
import { unknownVariables } from '../options/environment.ts';
import { isOn, textOf, valueOf } from '../options/read.ts';
import { optionTable } from '../options/table.ts';
import { usageError } from '../options/usage-error.ts';
import { errorLine } from '../output/error-line.ts';
import { exitCodes } from '../output/exit-code.ts';
import { progressMode } from '../output/progress-mode.ts';
import { write } from '../output/write.ts';
import { readCaFile } from './ca-file.ts';
import { fetchOptions } from './fetch-options.ts';
import { openFinder } from './open-finder.ts';
import { readRequests } from './read-requests.ts';
import { runFetch } from './run-fetch.ts';
import { insecureWarnings } from './insecure-warnings.ts';

/** Everything that may be wrong with the request is found before any work: then the standard output stays empty. */
export const runFetchCommand: Run = async (io, line) => {
  const { stdin, stderr, environment, signal } = io;
  const options = fetchOptions(line);
  const ca = await valueOf(line, 'ca-file', readCaFile);
  const lists = line.values('from-file').map(({ text }) => text);
  if (line.operands.length + lists.length === 0) throw usageError('name at least one image, or a list with -f');
  const { apps, errors, hasFiles } = await readRequests({ asked: line.operands, lists, stdin, signal });
  if (errors.length > 0) {
    await write(stderr, errors.map(({ asked, error }) => `${errorLine(toErrorData(error), asked)}\n`).join(''));
    return exitCodes.usage;
  }
  const directories = directoriesOf(line, environment);
  const config = await readConfig(directories);

  await using resources = new AsyncDisposableStack();
  const request = {
    ...{ options, config, directories, environment, ca },
    dir: textOf(line, 'dir'),
    fills: options.pullPolicy !== 'never' || hasFiles,
  };
  const run = {
    apps,
    output: textOf(line, 'output') === 'json' ? ('json' as const) : ('text' as const),
    full: isOn(line, 'full'),
    progress: progressMode(textOf(line, 'progress'), stderr.isTTY, environment),
    events: textOf(line, 'events'),
    warnings: [...unknownVariables(optionTable, environment), ...insecureWarnings(options.insecure)],
  };
  return await runFetch(io, run, (onEvent) => openFinder(resources, request, onEvent));
};
