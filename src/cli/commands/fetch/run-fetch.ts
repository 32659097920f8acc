import type { Writable } from 'node:stream';

import {
  type AppInput,
  type EventSink,
  type Finder,
  type ImageError,
  isImageError,
  type Outcome,
  type Store,
  type Totals,
} from '../../../internal.ts';
import type { Io } from '../../command.ts';
import type { PolicyHint } from '../../options/policy.ts';
import { type EventDestination } from '../../output/event-file.ts';
import { createBatchExitCode, exitCodes } from '../../output/exit-code.ts';
import { createJsonResult } from '../../output/json-result.ts';
import { fullnessOf } from '../../output/messages.ts';
import { openProgress, type ProgressMode } from '../../output/progress.ts';
import { openRunOutput, type RunOutput } from '../../output/run-output.ts';
import { createTextResult, noResult, resultStream, type ResultWriter } from '../../output/text-result.ts';
import { type AskedTags, chooseTags } from '../lists.ts';
import type { Attestations, AttestRequest } from './attest.ts';
import type { BillOfMaterials, BomRequest } from './bom.ts';
import type { LockFile } from './lock-file.ts';
import type { RunMetrics } from './metrics.ts';
import { awaitOutcomes } from './prepare.ts';
import type { RunReport } from './report.ts';

export type FetchRun = {
  readonly apps: readonly AppInput[];
  readonly tags: readonly AskedTags[];
  readonly output: 'text' | 'json';
  /** Whether text output has complete image IDs. */
  readonly full: boolean;
  readonly progress: ProgressMode;
  readonly events: EventDestination | undefined;
  /** Path of the file for the report. It was checked to be writable. */
  readonly report: string | undefined;
  /** Path of the file for the metrics. It was checked to be writable. */
  readonly metrics: string | undefined;
  readonly bom: BomRequest | undefined;
  readonly attest: AttestRequest | undefined;
  readonly lockFile: LockFile | undefined;
  /** Warnings to show before the work begins. */
  readonly warnings: readonly string[];
  readonly hint: PolicyHint;
};

type OpenedFinder = {
  readonly finder: Pick<Finder, 'findImages' | 'listTags'>;
  readonly store: Pick<Store, 'proofsOf'>;
};

/**
 * Fetches a batch, and writes result, progress, events and the files that were asked for.
 *
 * @param openFinder - opens the finder; the caller closes it.
 * @returns the exit code, not counting signals. @throws what openFinder throws, before anything is written to the
 * standard output; OUTPUT_FAILED when all images are in the store, but one of these could not be written
 */
export async function runFetch(
  io: Io,
  run: FetchRun,
  openFinder: (onEvent: EventSink) => Promise<OpenedFinder>,
): Promise<number> {
  const progress = await openProgress(run.progress, io.stderr, Date.now);
  const stdout = resultStream(io.stdout, progress);
  const output = await openRunOutput(progress, run.events, stdout);
  const { onEvent, onWarning, onUnwritten } = output;
  const attestations = await openAttestations(run.attest, onUnwritten);
  output.add(await openReport(run.report, 'fetch', onUnwritten));
  output.add(await openMetrics(run.metrics, 'fetch', io.signal, onUnwritten));
  output.add(await openBom(run.bom, onUnwritten));
  output.add(attestations);

  let totals;
  let code: number;
  try {
    run.warnings.forEach(onWarning);
    const { finder, store } = await openFinder(onEvent);
    attestations?.setStore(store);
    const apps = await chooseTags(run, finder, io.signal);
    const result = createResult(stdout, run);
    const exitCode = createBatchExitCode();
    const settle = awaitOutcomes(io, apps);

    ({ totals } = await finder.findImages(apps, {
      signal: io.signal,
      ...(run.lockFile && { lock: run.lockFile.lock }),
      onOutcome(outcome) {
        settle(outcome);
        exitCode.add(outcome);
        result.add(outcome);
        const request = apps[outcome.index ?? -1];
        progress.onOutcome(outcome, request, planHint(outcome) ?? run.hint(outcome, request));
      },
    }));
    await result.end(totals);
    code = exitCode.result(apps.length);
    await endLock(run.lockFile, code === exitCodes.success, output);
  } finally {
    await output.end();
    progress.end(totals, io.signal.aborted);
  }
  return output.checkedCode(code);
}

/** Where the disk is full. */
function planHint({ error }: Outcome): string | undefined {
  return error && fullnessOf(error) ? '; "longshore plan" says how much all of them need' : undefined;
}

function createResult(stdout: Writable, { output, events, full }: FetchRun): ResultWriter {
  if (output === 'json') return createJsonResult<Outcome, Totals>(stdout, 'longshore.fetch/1');
  return events?.kind === 'stdout' ? noResult : createTextResult(stdout, { full });
}

/** @throws LOCK_MISMATCH, OUTPUT_FAILED; where an image failed, that failure counts, and this one is a warning */
async function endLock(
  file: LockFile | undefined,
  isComplete: boolean,
  { onWarning, onUnwritten }: RunOutput,
): Promise<void> {
  try {
    await file?.end(isComplete, onWarning);
  } catch (error) {
    if (isComplete || !isImageError(error)) throw error;
    onUnwritten(error);
  }
}

export async function openReport(
  path: string | undefined,
  command: string,
  onFailure: (error: ImageError) => void,
): Promise<RunReport | undefined> {
  if (path === undefined) return undefined;
  const { openRunReport } = await import('./report.ts');
  return openRunReport(path, command, onFailure);
}

async function openBom(
  request: BomRequest | undefined,
  onFailure: (error: ImageError) => void,
): Promise<BillOfMaterials | undefined> {
  if (!request) return undefined;
  const { createBom } = await import('./bom.ts');
  return createBom(request, onFailure);
}

async function openAttestations(
  request: AttestRequest | undefined,
  onFailure: (error: ImageError) => void,
): Promise<Attestations | undefined> {
  if (!request) return undefined;
  const { createAttestations } = await import('./attest.ts');
  return createAttestations(request, onFailure);
}

/** @param path - where `--metrics` was given */
export async function openMetrics(
  path: string | undefined,
  command: 'fetch' | 'push' | 'import',
  signal: AbortSignal,
  onFailure: (error: ImageError) => void,
): Promise<RunMetrics | undefined> {
  if (path === undefined) return undefined;
  const { createRunMetrics } = await import('./metrics.ts'); // few runs want it
  return createRunMetrics({ path, command, signal }, onFailure);
}
