import type { Outcome, Totals, BatchEvent, EventSink } from '../events.ts';
import type { FetchContext, Slots } from '../fetchers/context.ts';
import { fetchImage } from '../fetchers/fetch.ts';
import type { Found } from '../fetchers/found.ts';
import type { Lock } from '../fetchers/lock.ts';
import type { Early } from './prefetch.ts';
import { withoutSecrets } from '../image/reference.ts';
import { outcomes, createTotals } from './outcome.ts';
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

/**
 * Keeps what happens to a node until it is known that there will be one: then tells it, and everything later at once. Of
 * events that replace each other only the last is kept, in the order of the last ones; warnings are kept all.
 */
export function holdBack(onEvent: EventSink, confirmed: Promise<void>): EventSink {
  const held = new Map<string | BatchEvent, BatchEvent>();
  let isConfirmed = false;
  void confirmed.then(() => {
    isConfirmed = true;
    for (const event of held.values()) onEvent(event);
    held.clear();
  });
  return (event) => {
    if (isConfirmed) return onEvent(event);
    const slot = event.type === 'warning' ? event : event.type;
    held.delete(slot);
    held.set(slot, event);
  };
}

export type Telling = { readonly key: string; readonly onEvent: EventSink; readonly nowMs: () => number };

/** The same places, told of as one node gets them, with how long it waited. */
export function tellPlaces(slots: Slots, { key, onEvent, nowMs }: Telling): Slots {
  return {
    run(host, signal, work) {
      const askedMs = nowMs();
      return slots.run(host, signal, (slot) => {
        const waitedMs = Math.max(0, nowMs() - askedMs);
        onEvent({ type: 'place-taken', key, waitedMs, ...(host !== undefined && { host }) });
        return work(slot);
      });
    },
    answered: (host) => slots.answered(host),
    ahead: (confirmed) => tellPlaces(slots.ahead(confirmed), { key, onEvent, nowMs }),
  };
}
