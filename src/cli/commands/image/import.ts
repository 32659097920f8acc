import { join, resolve } from 'node:path';

import {
  type AppInput,
  createFinder,
  fileSource,
  type ImportSource,
  openFetchPool,
  openKeystore,
  type Outcome,
  parseRegistryReference,
  type Totals,
} from '../../../internal.ts';
import { isThere } from '../../../system/files.ts';
import type { Io, Run } from '../../command.ts';
import { readConfig } from '../../config/read-config.ts';
import { openCliStore } from '../../open-store.ts';
import type { CommandLine } from '../../options/command-line.ts';
import { usageError } from '../../options/option.ts';
import { checksOf } from '../../options/policy.ts';
import { directoriesOf, isOn, textOf, valueOf } from '../../options/read.ts';
import { eventDestination, eventPath } from '../../output/event-file.ts';
import { createBatchExitCode } from '../../output/exit-code.ts';
import { createJsonResult } from '../../output/json-result.ts';
import { openProgress, progressMode } from '../../output/progress.ts';
import { openRunOutput } from '../../output/run-output.ts';
import { createTextResult, noResult, resultStream } from '../../output/text-result.ts';
import { storeDirectory } from '../fetch/network.ts';
import { fetchOptions } from '../fetch/options.ts';
import { insecureWarnings } from '../fetch/prepare.ts';
import { openMetrics } from '../fetch/run-fetch.ts';
import { requireApart, requireMetricsFile } from '../output-files.ts';

/** `image import FILE [IMAGE...]`: brings images of an archive or a layout into the store. */
export const runImport: Run = async (io, line) => {
  const { environment } = io;
  const [from = '', ...images] = line.operands.map(({ text }) => text);
  const asked = fetchOptions(line);
  const as = valueOf(line, 'as', parseName);
  const directories = directoriesOf(line, environment);
  const config = await readConfig(directories);
  const { policy, insecure, warnings } = await checksOf(line, config);
  const dir = textOf(line, 'dir');
  const place = { dir: storeDirectory({ dir, config, environment }) };
  const events = eventDestination(line);
  const outputs = [
    { option: '--events', path: eventPath(events) },
    { option: '--metrics', path: textOf(line, 'metrics') },
  ].flatMap(({ option, path }) => (path === undefined ? [] : [{ option, path }]));
  await requireApart(outputs, { lists: [], apps: [{ image: from }], storeDir: place.dir });
  const metricsFile = await valueOf(line, 'metrics', requireMetricsFile);
  const source = await openSource(from, io);

  const progress = await openProgress(
    progressMode(textOf(line, 'progress'), io.stderr.isTTY, environment),
    io.stderr,
    Date.now,
  );
  const stdout = resultStream(io.stdout, progress);
  const output = await openRunOutput(progress, events, stdout);
  const { onEvent, onWarning } = output;
  output.add(await openMetrics(metricsFile, 'import', io.signal, output.onUnwritten));

  let totals: Totals | undefined;
  const exitCode = createBatchExitCode();
  try {
    [...warnings, ...insecureWarnings({ ...insecure, tls: false })].forEach(onWarning);
    await using pool = openFetchPool({ ...asked, apps: [] });
    if (!(await isThere(join(place.dir, 'index.sqlite')))) pool.warmUp();
    await using store = await openCliStore(place, environment, 'fill');
    const { system, local, user, trustedRoot } = directories;
    const dirs = [system, local, user];
    await using keystore = insecure.image ? undefined : await openKeystore({ dirs, trustedRoot, onWarning });
    await using finder = createFinder({
      ...asked,
      ...{ insecure, store, pool, onEvent },
      ...(keystore && { keystore }),
      ...(policy && { policy }),
    });
    let result: ReturnType<typeof createResult> | undefined; // nothing is written if the archive cannot be read
    const written = () => (result ??= createResult(stdout, line, events?.kind === 'stdout'));
    io.awaits(() => [from]);
    ({ totals } = await finder.importImages(source, {
      ...{ images, as, signal: io.signal },
      onOutcome(outcome) {
        exitCode.add(outcome);
        written().add(outcome);
        progress.onOutcome(outcome, requestOf(outcome));
      },
    }));
    await written().end(totals);
  } finally {
    await output.end();
    progress.end(totals, io.signal.aborted);
  }
  return output.checkedCode(exitCode.result(totals.images));
};

/** @throws FILE_NOT_FOUND, FILE_UNREADABLE */
async function openSource(from: string, { stdin }: Pick<Io, 'stdin'>): Promise<ImportSource> {
  if (from === '-') return { kind: 'pipe', bytes: stdin, name: 'standard input' };
  if (from === '') throw usageError('the name of the file is empty'); // it would mean the working directory
  return fileSource(resolve(from));
}

function parseName(text: string, option: string): string {
  const { tag, digest } = parseRegistryReference(text);
  if (digest === undefined && (tag === 'latest' || tag === undefined) && !text.endsWith(':latest')) return text;
  throw usageError('wants a name without a tag and without a digest', option);
}

/** What advice about an outcome needs to know of its request. */
function requestOf({ reference }: Outcome): AppInput {
  return { image: reference, type: reference.startsWith('docker://') ? 'docker' : 'path' };
}

function createResult(stdout: Parameters<typeof createTextResult>[0], line: CommandLine, isTaken: boolean) {
  if (textOf(line, 'output') === 'json') return createJsonResult<Outcome, Totals>(stdout, 'longshore.import/1');
  return isTaken ? noResult : createTextResult(stdout, { full: isOn(line, 'full') });
}
