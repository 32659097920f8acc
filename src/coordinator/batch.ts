import type { Outcome, Totals } from '../events.ts';
import type { FetchContext } from '../fetchers/context.ts';
import { fetchImage } from '../fetchers/fetch.ts';
import type { Found } from '../fetchers/found.ts';
import type { Lock } from '../fetchers/lock.ts';
import type { Early } from './ahead.ts';
import { withoutSecrets } from '../image/show-reference.ts';
import { holdBack } from './hold-back.ts';
import { outcomes } from './outcome.ts';
import { tellPlaces } from './tell-places.ts';
import { createTotals } from './totals.ts';
import { walk, type BatchRequest } from './walk.ts';

export type BatchOptions = {
  readonly context: FetchContext;
  readonly withDeps: boolean;
  readonly failFast: boolean;
  readonly lock: Lock | undefined;
  readonly signal: AbortSignal;
  /** Each request's and each dependency's outcome, as soon as it is known. */
  readonly onOutcome: (outcome: Outcome) => void;
};

/** Brings a whole batch. Never rejects for an image that fails; a bug rejects. */
export async function runBatch(requests: readonly BatchRequest[], options: BatchOptions): Promise<Totals> {
  const { context, withDeps, failFast, lock, signal, onOutcome } = options;
  const { onEvent, nowMs, limits, tally } = context;
  const startedMs = nowMs();
  const before = { ...tally };
  const totals = createTotals();

  const shared = lock ? { ...context, lock } : context;

  onEvent({ type: 'batch-started', requests: requests.length });
  await walk<Found>(
    requests,
    {
      ...{ limits, failFast, nowMs, onEvent },
      visit: (request, early, stop) => fetchImage(contextOf(shared, request.key, withDeps, early), request, stop),
      imageIdOf: ({ image }) => image.imageId,
      dependenciesOf: ({ image }) => (withDeps ? image.dependencies : []),
      onSettled(node) {
        totals.add(node);
        const [first, ...others] = outcomes(node);
        const told = { ...first, reference: withoutSecrets(first.reference) };
        onEvent({ type: 'node-finished', key: node.key, outcome: told });
        for (const outcome of [first, ...others]) onOutcome(outcome);
      },
    },
    signal,
  );

  const read = totals.read({
    images: requests.length,
    requests: tally.requests - before.requests,
    retries: tally.retries - before.retries,
    durationMs: nowMs() - startedMs,
  });
  onEvent({ type: 'batch-finished', totals: read });
  return read;
}

/** A fetch ahead comes after all others, and tells nothing, until something verified asks for it. */
function contextOf(
  context: FetchContext,
  key: string,
  withDeps: boolean,
  { onDependencies, confirmed }: Early,
): FetchContext {
  const onEvent = confirmed ? holdBack(context.onEvent, confirmed) : context.onEvent;
  const slots = confirmed ? context.slots.ahead(confirmed) : context.slots;
  return {
    ...context,
    onEvent,
    slots: tellPlaces(slots, { key, onEvent, nowMs: context.nowMs }),
    ...(withDeps && { onDependencies }),
    ...(confirmed && { confirmed }),
  };
}
