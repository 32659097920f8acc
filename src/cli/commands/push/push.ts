import type { Writable } from 'node:stream';

import {
  asImageError,
  checkAsked,
  createPusher,
  type ImageError,
  parseDestination,
  type PushInput,
  type PushOutcome,
  type PushTotals,
  show,
  showReference,
  type Store,
} from '../../../internal.ts';
import { showPlace, type TagsEntry } from '../../../lists/list.ts';
import type { Io, Run } from '../../command.ts';
import { readConfig } from '../../config/read-config.ts';
import { openCliStore } from '../../open-store.ts';
import type { CommandLine } from '../../options/command-line.ts';
import { usageError } from '../../options/option.ts';
import { directoriesOf, isOn, namesOf, textOf, valueOf } from '../../options/read.ts';
import { errorLines } from '../../output/error-line.ts';
import { type EventDestination, eventDestination, eventPath } from '../../output/event-file.ts';
import { createBatchExitCode, exitCodes } from '../../output/exit-code.ts';
import { createJsonResult } from '../../output/json-result.ts';
import { progressMode } from '../../output/progress.ts';
import { openPushProgress } from '../../output/push-progress.ts';
import { openRunOutput } from '../../output/run-output.ts';
import { size } from '../../output/state-line.ts';
import { createLines, noResult, resultStream, type ResultWriter } from '../../output/text-result.ts';
import { write } from '../../output/write.ts';
import { registryCredentials, registrySettings } from '../../registries/registry-settings.ts';
import { networkSettings, readCaFile, storeDirectory } from '../fetch/network.ts';
import { fetchOptions } from '../fetch/options.ts';
import { insecureWarnings } from '../fetch/prepare.ts';
import { openMetrics, openReport } from '../fetch/run-fetch.ts';
import { type AskedTags, chooseTags, type Lists, listWarnings, readLists, tagsInStore } from '../lists.ts';
import { requireApart, requireMetricsFile, requireWritable } from '../output-files.ts';

/** `push [IMAGE...]`: brings images of the store into a registry. */
export const runPushCommand: Run = async (io, line) => {
  const to = textOf(line, 'to');
  if (to === undefined) throw usageError('say where to push: docker://HOST[/PREFIX]', '--to');
  parseDestination(to, '--to');
  const all = isOn(line, 'all');
  const lists = line.values('from-file').map(({ text }) => text);
  if (!all && line.operands.length + lists.length === 0)
    throw usageError('name at least one image, or a list with -f, or --all');
  const options = fetchOptions(line);
  const ca = await valueOf(line, 'ca-file', readCaFile);
  const { named, errors, lists: read } = await readInputs(line, io);
  if (errors.length > 0) {
    await write(io.stderr, errorLines(errors));
    return exitCodes.usage;
  }
  const { environment } = io;
  const directories = directoriesOf(line, environment);
  const config = await readConfig(directories);
  const dir = textOf(line, 'dir');
  const events = eventDestination(line);
  const outputs = [
    { option: '--events', path: eventPath(events) },
    { option: '--metrics', path: textOf(line, 'metrics') },
    { option: '--report', path: textOf(line, 'report') },
  ].flatMap(({ option, path }) => (path === undefined ? [] : [{ option, path }]));
  await requireApart(outputs, { lists, apps: [], storeDir: storeDirectory({ dir, config, environment }) });
  const metricsFile = await valueOf(line, 'metrics', requireMetricsFile);
  const report = await valueOf(line, 'report', requireWritable);

  const progress = await openPushProgress(
    progressMode(textOf(line, 'progress'), io.stderr.isTTY, environment),
    io.stderr,
    Date.now,
  );
  const stdout = resultStream(io.stdout, { ...progress, end: () => undefined });
  const output = await openRunOutput(progress, events, stdout);
  const { onEvent, onWarning } = output;
  output.add(await openReport(report, 'push', output.onUnwritten));
  output.add(await openMetrics(metricsFile, 'push', io.signal, output.onUnwritten));

  let totals: PushTotals | undefined;
  const exitCode = createBatchExitCode();
  try {
    [
      ...insecureWarnings({ ...options.insecure, image: false }),
      ...listWarnings(read, options.insecure),
      ...credentialWarnings(read),
    ].forEach(onWarning);
    const { mirrors, certificates } = await registrySettings([], environment, onWarning);
    await using store = await openCliStore(
      { dir: storeDirectory({ dir, config, environment }) },
      environment,
      'use',
      true,
    );
    await using pusher = createPusher({
      ...options,
      ...networkSettings({ options, config, environment, ca }),
      ...{ store, mirrors, certificates, onEvent },
      dockerCredentials: config.dockerCredentials,
      registryCredentials: registryCredentials(environment, onWarning),
    });
    const inputs = await chooseStored(named, store, io.signal);
    const result = createResult(stdout, line, events);
    const waiting = new Set(inputs.map(({ image }) => image));
    io.awaits(() => [...waiting]);
    ({ totals } = await pusher.pushImages(inputs, {
      ...{ to, all, scoped: isOn(line, 'scoped'), noOverwrite: isOn(line, 'no-overwrite') },
      ...{ dryRun: isOn(line, 'dry-run'), signal: io.signal },
      onOutcome(outcome) {
        waiting.delete(outcome.reference);
        exitCode.add(outcome);
        result.add(outcome);
        progress.onOutcome(outcome, { image: outcome.reference, type: 'docker' });
        if (outcome.status === 'skipped')
          onWarning(`${showReference(outcome.reference)} is skipped: an archive (ACI), which a registry does not take`);
      },
    }));
    if (totals.images === 0) onWarning(`${show(store.dir)} has no images to push`);
    await result.end(totals);
  } finally {
    await output.end();
    progress.end(totals, io.signal.aborted);
  }
  return output.checkedCode(exitCode.result(totals.images));
};

function createResult(
  stdout: Writable,
  line: CommandLine,
  events: EventDestination | undefined,
): ResultWriter<PushOutcome, PushTotals> {
  if (textOf(line, 'output') === 'json') return createJsonResult(stdout, 'longshore.push/1');
  return events?.kind === 'stdout' ? noResult : createLines(stdout, lineOf);
}

/** An image, or a selection of tags of a repository. */
type Named = PushInput | TagsEntry;

/** The images that are named, with the tags that the store has in the place of selections. @throws as chooseTags */
async function chooseStored(named: readonly Named[], store: Store, signal: AbortSignal): Promise<readonly PushInput[]> {
  const apps: PushInput[] = [];
  const tags: AskedTags[] = [];
  for (const one of named) {
    if ('selection' in one) tags.push({ before: apps.length, entry: one });
    else apps.push(one);
  }
  return chooseTags({ apps, tags }, tagsInStore(store), signal);
}

/** The credentials of a list are for where its images are from. A push asks only the registry that it goes to. */
function credentialWarnings({ registries }: Lists): readonly string[] {
  const place = registries.find(({ credentials }) => credentials)?.place;
  if (!place) return [];
  return [`${showPlace(place)}: a push does not use the credentials of a list; those of the configuration count`];
}

type Misunderstood = { readonly asked: string | undefined; readonly error: ImageError };

/** The images that operands and lists name, and all that cannot be understood. @throws ImageError for a list that cannot be read */
async function readInputs(
  line: CommandLine,
  io: Io,
): Promise<{
  readonly named: readonly Named[];
  readonly errors: readonly Misunderstood[];
  readonly lists: Lists;
}> {
  const named: Named[] = [];
  const errors: Misunderstood[] = [];
  const names = namesOf(line);
  const take = (image: string, place: string, skipsArchives: boolean): void => {
    try {
      named.push({ image, type: checkAsked(image, names), skipsArchives });
    } catch (error) {
      errors.push({ asked: `${place}${showReference(image)}`, error: asImageError(error) });
    }
  };
  for (const { text } of line.operands) take(text, '', false);
  const lists = await readLists(
    line.values('from-file').map(({ text }) => text),
    io,
  );
  for (const error of lists.errors) errors.push({ asked: undefined, error });
  for (const entry of lists.entries) {
    if (entry.kind === 'image') take(entry.image, `${showPlace(entry.place)}: `, true);
    else named.push(entry);
  }
  return { named, errors, lists };
}

function lineOf({ reference, status, pushed, target, digest, size: bytes }: PushOutcome): string {
  switch (status) {
    case 'pushed':
    case 'present':
      return `${show(pushed ?? '', 1000)}\n`;
    case 'planned':
      return `${showReference(reference)} -> ${show(`${target}@${digest}`, 1000)} (${size(bytes ?? 0)})\n`;
    default:
      return '';
  }
}
