import type { FetchContext } from '../fetchers/context.ts';
import { planImage } from '../fetchers/plan.ts';
import type { Planned } from '../fetchers/planned.ts';
import { readingOnly } from '../fetchers/reading-only.ts';
import type { Dependency } from '../image/manifest.ts';
import type { Node } from './node.ts';
import { planOutcomes, type PlanOutcome, type PlanTotals } from './plan-outcome.ts';
import { createPlanTotals } from './plan-totals.ts';
import { walk, type BatchRequest } from './walk.ts';

export type PlanOptions = {
  readonly context: FetchContext;
  readonly withDeps: boolean;
  readonly signal: AbortSignal;
  /** Each request's and each dependency's, as soon as it is known: a node after all that it needs. */
  readonly onOutcome: (outcome: PlanOutcome) => void;
};

/** Finds out what a batch would do, and does nothing of it. Never rejects for an image that fails; a bug rejects. */
export async function planBatch(
  requests: readonly BatchRequest[],
  { context, withDeps, signal, onOutcome }: PlanOptions,
): Promise<PlanTotals> {
  const { nowMs, limits, tally } = context;
  const startedMs = nowMs();
  const before = { ...tally };
  const reading = readingOnly(context);
  const totals = createPlanTotals();
  const ids = new Map<Node<Planned>, number>();
  const idOf = (node: Node<Planned>): number => {
    const id = ids.get(node) ?? ids.size;
    ids.set(node, id);
    return id;
  };
  const isExplored = ({ found }: Node<Planned>): boolean =>
    found !== undefined && (!withDeps || namesDependencies(found));

  await walk<Planned>(
    requests,
    {
      ...{ limits, failFast: false, nowMs },
      visit: (request, _early, stop) => planImage(reading, request, stop),
      imageIdOf: (found) => (found.status === 'present' ? found.image.imageId : undefined),
      dependenciesOf: (found) => (withDeps ? dependenciesOf(found) : []),
      onSettled(node) {
        totals.add(node, isExplored(node));
        for (const outcome of planOutcomes(node, { idOf, isExplored })) onOutcome(outcome);
      },
    },
    signal,
  );
  return totals.read({
    images: requests.length,
    requests: tally.requests - before.requests,
    retries: tally.retries - before.retries,
    durationMs: nowMs() - startedMs,
  });
}

/** What is neither here nor a file says what it needs only once it has been fetched. */
function namesDependencies(found: Planned): boolean {
  return found.status === 'present' || found.manifest !== undefined;
}

function dependenciesOf(found: Planned): readonly Dependency[] {
  return found.status === 'present' ? found.image.dependencies : (found.manifest?.dependencies ?? []);
}
