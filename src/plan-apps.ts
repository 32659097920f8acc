import type { Batch } from './batches.ts';
import { planBatch, type PlanOutcome } from './coordinator/plan-batch.ts';
import type { FetchContext } from './fetchers/context.ts';
import type { App } from './image/apps.ts';
import type { ActionOptions, PlanCall, PlanResult } from './options.ts';
import { parseApps } from './parse-apps.ts';

/** Finds out what findImages would do for the apps. */
export async function planApps(
  context: FetchContext,
  { withDeps = true }: Pick<ActionOptions, 'withDeps'>,
  apps: Iterable<App>,
  { onOutcome }: Pick<PlanCall, 'onOutcome'>,
  { signal, call }: Batch,
): Promise<PlanResult> {
  const outcomes: PlanOutcome[] = [];
  const settle = (outcome: PlanOutcome): void => {
    if (outcome.index !== undefined) outcomes[outcome.index] = outcome;
    call(() => onOutcome?.(outcome));
  };
  const totals = await planBatch(parseApps([...apps]), { context, withDeps, signal, onOutcome: settle });
  return { outcomes, totals };
}
