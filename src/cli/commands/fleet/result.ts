import type { Writable } from 'node:stream';

import type { Batch } from '../../../fleet/batch.ts';
import type { Result } from '../../../fleet/result.ts';
import { show, type Totals } from '../../../internal.ts';
import { htmlTable } from '../../../report/html.ts';
import { reportPage } from '../../../report/page.ts';
import { createTimeline } from '../../../report/timeline.ts';
import type { Run } from '../../command.ts';
import type { CommandLine } from '../../options/command-line.ts';
import { isOn, textOf, valueOf } from '../../options/read.ts';
import { createBatchExitCode, exitCodes } from '../../output/exit-code.ts';
import { createJsonResult } from '../../output/json-result.ts';
import { createMessages } from '../../output/messages.ts';
import { plural, size, summaryLine } from '../../output/state-line.ts';
import { createTextResult, type ResultWriter } from '../../output/text-result.ts';
import { readVersion } from '../../version.ts';
import { openLockFile } from '../fetch/lock-file.ts';
import { requireApart, requireWritable, writeOutput } from '../output-files.ts';
import {
  beginning,
  createFleetTotals,
  eventsOf,
  type FleetOutcome,
  missingOutcome,
  outcomesOf,
  stateWords,
} from './outcomes.ts';
import { openReader } from './reader.ts';

/** `fleet result NAME`: what a batch has brought, in the form of a fetch of it. */
export const runFleetResult: Run = async (io, line) => {
  const [{ text: name } = { text: '' }] = line.operands;
  const { stdout, stderr } = io;
  const report = await valueOf(line, 'report', requireWritable);
  const lock = await valueOf(line, 'lock', requireWritable);
  await requireApart(
    Object.entries({ report, lock }).flatMap(([option, path]) =>
      path === undefined ? [] : [{ option: `--${option}`, path }],
    ),
    { lists: [], apps: [] },
  );
  const messages = createMessages((text) => void stderr.write(`${text}\n`), stderr);
  await using resources = new AsyncDisposableStack();
  const reader = await openReader(resources, { io, line, onWarning: messages.warn });
  const watched = await reader.open(name);
  const { batch } = watched;
  const found = await watched.fresh();
  const state = await watched.state();
  const reports = new Map<number, Result>();
  const copies = [];
  for (const one of found) {
    if (one.isCopy) copies.push(one);
    else reports.set(one.index, one);
  }

  const result = createResult(stdout, line);
  const totals = createFleetTotals(batch);
  const exitCode = createBatchExitCode();
  for (const index of batch.images.keys()) {
    const one = reports.get(index);
    const outcomes = one ? outcomesOf(batch, one) : [missingOutcome(batch, index, state)];
    for (const outcome of outcomes) {
      totals.add(outcome);
      result.add(outcome);
      exitCode.add(outcome);
      if (one) messages.fail(outcome, batch.images[index]);
    }
    if (one) totals.endAt(one.endedAtMs);
  }
  for (const { worker, outcome, endedAtMs } of copies) {
    totals.endAt(endedAtMs);
    if (!outcome.error) continue;
    messages.warn(`${worker} has no copy of ${outcome.reference}: ${outcome.error.message}`);
    exitCode.add(outcome);
  }
  messages.end();
  const all = totals.read();
  await result.end(all);
  const missing = batch.images.length - reports.size;
  if (missing > 0)
    messages.warn(`${plural(missing, 'image has', 'images have')} no result: ${stateWords(batch, state)}`);
  stderr.write(`${summaryLine(all)}\n`);
  const code = exitCode.result(batch.images.length);
  if (lock !== undefined)
    await writeLock(lock, reports, { isComplete: code === exitCodes.success, onWarning: messages.warn });
  if (report !== undefined) {
    const failure = writeOutput({ path: report, what: 'the report' }, pageOf(batch, [...reports.values()], all));
    if (failure) throw failure;
  }
  return code;
};

function createResult(stdout: Writable, line: CommandLine): ResultWriter<FleetOutcome, Totals> {
  if (textOf(line, 'output') === 'json') return createJsonResult<FleetOutcome, Totals>(stdout, 'longshore.fetch/1');
  return createTextResult(stdout, { full: isOn(line, 'full') });
}

type LockWriting = { readonly isComplete: boolean; readonly onWarning: (message: string) => void };

/** Adds what was brought to a lock file, as a fetch does. @throws LOCK_MISMATCH, OUTPUT_FAILED */
async function writeLock(
  path: string,
  reports: ReadonlyMap<number, Result>,
  { isComplete, onWarning }: LockWriting,
): Promise<void> {
  const file = await openLockFile(path, { relock: true });
  for (const { locked } of reports.values())
    for (const [reference, image] of locked) {
      const id = image.imageID ?? image.digest ?? Object.values(image.platforms ?? {})[0];
      if (id !== undefined) file.lock.onFound?.(reference, id, image);
    }
  if (!isComplete) onWarning(`${show(path, 1000)} is not written: not all images are there`);
  await file.end(isComplete, onWarning);
}

/** The page of a fetch, of the times that workers have told. */
function pageOf(batch: Batch, reports: readonly Result[], totals: Totals): Generator<string> {
  const timeline = createTimeline(batch.createdAtMs);
  const events = [...beginning(batch), ...reports.flatMap((one) => [...eventsOf(one)])];
  for (const { event, atMs } of events.toSorted((a, b) => a.atMs - b.atMs)) timeline.add(event, atMs);
  const endMs = batch.createdAtMs + totals.durationMs;
  timeline.add({ type: 'batch-finished', totals }, endMs);
  const workers = Map.groupBy(reports, ({ worker }) => worker);
  const facts = [`longshore ${readVersion()}`, plural(workers.size, 'worker', 'workers')];
  const rows = [...workers].map(([worker, own]) => {
    const bytes = own.reduce((sum, { outcome }) => sum + (outcome.bytesDownloaded ?? 0), 0);
    const failed = own.filter(({ outcome }) => outcome.status === 'failed').length;
    return [show(worker, 100), String(own.length), String(failed), size(bytes)];
  });
  const table = htmlTable({
    head: ['worker', 'images', 'failed', 'bytes'],
    rows: rows.toSorted(([a = ''], [b = '']) => (a < b ? -1 : 1)),
  });
  const sections = [{ title: 'Workers', html: table }];
  return reportPage(timeline.read(endMs), { title: `longshore fleet ${batch.name}`, facts, sections });
}
