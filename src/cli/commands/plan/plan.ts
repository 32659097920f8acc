import type { Writable } from 'node:stream';

import type { Lock, PlanOutcome, PlanTotals } from '../../../internal.ts';
import type { Run } from '../../command.ts';
import type { CommandLine } from '../../options/command-line.ts';
import { isOn, textOf } from '../../options/read.ts';
import { errorLine } from '../../output/error-line.ts';
import { createBatchExitCode, exitCodes, sharedExitCode } from '../../output/exit-code.ts';
import { createJsonResult } from '../../output/json-result.ts';
import { createMessages } from '../../output/messages.ts';
import { createPlanDot, createPlanTree, planDoesNotFit } from '../../output/plan-result.ts';
import type { ResultWriter } from '../../output/text-result.ts';
import { openFinder, storeDirectory } from '../fetch/network.ts';
import { lockOptionsOf } from '../fetch/options.ts';
import { awaitOutcomes, insecureWarnings, prepare } from '../fetch/prepare.ts';
import { chooseTags } from '../lists.ts';

/** `plan [IMAGE...]`: shows what `fetch` with the same arguments would do. */
export const runPlanCommand: Run = async (io, line) => {
  const prepared = await prepare(io, line);
  if (!prepared) return exitCodes.usage;
  const { options } = prepared;
  const messages = createMessages((text) => void io.stderr.write(`${text}\n`), io.stderr);
  [...insecureWarnings(options.insecure), ...prepared.warnings].forEach(messages.warn);

  const lock = await lockOf(line);

  await using resources = new AsyncDisposableStack();
  const { finder } = await openFinder(resources, { ...prepared, access: 'read' }, (event) => {
    if (event.type === 'warning') messages.warn(event.message);
  });
  const apps = await chooseTags(prepared, finder, io.signal);
  const result = planResult(line, io.stdout);
  const exitCode = createBatchExitCode();
  const settle = awaitOutcomes(io, apps);
  const { totals } = await finder.planImages(apps, {
    signal: io.signal,
    ...(lock && { lock }),
    onOutcome(outcome) {
      settle(outcome);
      exitCode.add(outcome);
      result.add(outcome);
      const request = apps[outcome.index ?? -1];
      messages.fail(outcome, request, prepared.hint(outcome, request));
    },
  });
  await result.end(totals);
  messages.end();
  const code = exitCode.result(apps.length);
  const tooLarge = planDoesNotFit(totals, storeDirectory(prepared));
  if (!tooLarge) return code;
  io.stderr.write(`${errorLine(tooLarge)}\n`);
  return sharedExitCode([...(code === exitCodes.success ? [] : [code]), exitCodes.store]);
};

/** What a lock file holds. @throws USAGE, CONFIG_INVALID */
async function lockOf(line: CommandLine): Promise<Lock | undefined> {
  const options = lockOptionsOf(line);
  if (!options) return undefined;
  const { openLockFile } = await import('../fetch/lock-file.ts');
  return (await openLockFile(options.path, options)).lock;
}

function planResult(line: CommandLine, stdout: Writable): ResultWriter<PlanOutcome, PlanTotals> {
  switch (textOf(line, 'output')) {
    case 'json':
      return createJsonResult(stdout, 'longshore.plan/1');
    case 'dot':
      return createPlanDot(stdout);
    default:
      return createPlanTree(stdout, { full: isOn(line, 'full') });
  }
}
