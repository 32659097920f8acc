import type { Run } from '../../command.ts';
import { textOf } from '../../options/read.ts';
import { createBatchExitCode, exitCodes } from '../../output/exit-code.ts';
import { openProgress, progressMode } from '../../output/progress.ts';
import { plural } from '../../output/state-line.ts';
import { beginning, createFleetTotals, eventsOf, missingOutcome, outcomesOf, stateWords } from './outcomes.ts';
import { openReader } from './reader.ts';

/** `fleet wait NAME`: shows the progress of a batch until it has ended. The batch does not need this process. */
export const runFleetWait: Run = async (io, line) => {
  const [{ text: name } = { text: '' }] = line.operands;
  const { stderr, environment, signal } = io;
  await using resources = new AsyncDisposableStack();
  const mode = progressMode(textOf(line, 'progress'), stderr.isTTY, environment);
  const progress = await openProgress(mode, stderr, Date.now);
  let isEnded = false;
  resources.defer(() => (isEnded ? undefined : progress.end(undefined)));
  const onWarning = (message: string): void => void progress.onEvent({ type: 'warning', message });
  const reader = await openReader(resources, { io, line, onWarning });
  const watched = await reader.open(name);
  const { batch } = watched;
  const totals = createFleetTotals(batch);
  const exitCode = createBatchExitCode();
  const waiting = new Set(batch.images.keys());
  io.awaits(() => [...waiting].map((index) => batch.images[index]?.image ?? ''));
  for (const { event } of beginning(batch)) progress.onEvent(event);
  let [lastAtMs, isToldOfNobody] = [Date.now(), false];
  const show = async (): Promise<void> => {
    const reports = await watched.fresh();
    if (reports.length > 0) [lastAtMs, isToldOfNobody] = [Date.now(), false];
    for (const report of reports) {
      const { index, outcome, isCopy, worker, endedAtMs } = report;
      totals.endAt(endedAtMs);
      if (isCopy && outcome.error) {
        onWarning(`${worker} has no copy of ${outcome.reference}: ${outcome.error.message}`);
        exitCode.add(outcome);
      }
      if (isCopy || !waiting.delete(index)) continue;
      for (const { event } of eventsOf(report)) if (event.type !== 'download-started') progress.onEvent(event); // it was earlier
      progress.onOutcome(outcome, batch.images[index]);
      exitCode.add(outcome);
      for (const one of outcomesOf(batch, report)) totals.add(one);
    }
  };
  await show();
  let state = await watched.state();
  while (state === 'running') {
    await watched.news(signal);
    if (signal.aborted) {
      onWarning(`the batch ${batch.name} goes on without this command, which shows it again`);
      return exitCodes.unforeseen;
    }
    await show();
    state = await watched.state();
    if (state !== 'running' || isToldOfNobody || Date.now() - lastAtMs < quietMs) continue;
    isToldOfNobody = true;
    if ((await reader.workers()).length === 0)
      onWarning(`no worker is there: the batch goes on when one is, by \`longshore fleet work\``);
  }
  await show(); // what has come since
  for (const index of waiting) totals.add(missingOutcome(batch, index, state));
  if (waiting.size > 0)
    onWarning(`${plural(waiting.size, 'image has', 'images have')} no result: ${stateWords(batch, state)}`);
  isEnded = true;
  progress.end(totals.read());
  return exitCode.result(batch.images.length);
};

/** A worker is looked for once that long nothing has come. */
const quietMs = 5000;
