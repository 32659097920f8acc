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
  { signal, onOutcome }: PlanCall & { readonly signal: AbortSignal },
): Promise<PlanResult> {
  const outcomes: PlanOutcome[] = [];
  const settle = (outcome: PlanOutcome): void => {
    if (outcome.index !== undefined) outcomes[outcome.index] = outcome;
    onOutcome?.(outcome);
  };
  const { requests, invalid } = parseApps([...apps]);
  const totals = await planBatch(requests, { context, withDeps, signal, onOutcome: settle });
  const { images, nodes, failed } = totals;
  for (const [position, app] of invalid.entries()) settle({ ...app, id: nodes + position });
  const wrong = invalid.length;
  return { outcomes, totals: { ...totals, images: images + wrong, nodes: nodes + wrong, failed: failed + wrong } };
}
