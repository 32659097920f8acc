import { hasCode, ImageError } from '../errors.ts';
import type { BatchEvent, EventSink, Outcome, Totals } from '../events.ts';
import type { FetchContext, Lock, Slots } from '../fetchers/context.ts';
import { fetchImage, findImage } from '../fetchers/fetch.ts';
import type { Found } from '../fetchers/found.ts';
import { withoutSecrets } from '../image/reference.ts';
import { createTotals, outcomes } from './outcome.ts';
import type { VisitHooks } from './prefetch.ts';
import { type BatchRequest, walk } from './walk.ts';

export type BatchOptions = {
  /** Of this batch alone: its tally counts from 0. */
  readonly context: FetchContext;
  readonly withDeps: boolean;
  readonly failFast: boolean;
  readonly lock: Lock | undefined;
  readonly signal: AbortSignal;
  /** Called with the outcome of each request and each dependency as soon as it is known. */
  readonly onOutcome: (outcome: Outcome) => void;
};

/** Fetches a batch. Does not reject if an image fails; a bug rejects. */
export async function runBatch(requests: readonly BatchRequest[], options: BatchOptions): Promise<Totals> {
  const { context, withDeps, failFast, lock, signal, onOutcome } = options;
  const { onEvent, nowMs, limits, tally, traffic } = context;
  const startedMs = nowMs();
  const totals = createTotals();

  const disk = createDiskWatch();

  const shared = lock ? { ...context, lock } : context;

  onEvent({ type: 'batch-started', requests: requests.length, ...context.concurrency });
  await walk<Found>(
    requests,
    {
      ...{ limits, failFast, nowMs, onEvent },
      visit: async (request, early, stop) => {
        const visited = contextOf(shared, request.key, withDeps, early);
        const slots = refuseIfFull(visited.slots, disk);
        return totals.take(await disk.watch(() => fetchImage({ ...visited, slots }, request, stop)));
      },
      find: (request) => findImage(shared, request),
      imageIdOf: ({ image }) => image.imageId,
      dependenciesOf: ({ image }) => (withDeps ? image.dependencies : []),
      onSettled(node) {
        totals.add(node);
        const [first, ...others] = outcomes(node);
        const reported = { ...first, reference: withoutSecrets(first.reference) };
        const also = others.map(({ reference, index = 0 }) => ({ reference: withoutSecrets(reference), index }));
        onEvent({ type: 'node-finished', key: node.key, outcome: reported, ...(also.length > 0 && { also }) });
        for (const outcome of [first, ...others]) onOutcome(outcome);
      },
      onInvalid({ index, text, error }, key) {
        totals.addInvalid();
        const outcome = { index, status: 'failed', error } as const;
        onEvent({ type: 'node-finished', key, outcome: { reference: withoutSecrets(text), ...outcome } });
        onOutcome({ reference: text, ...outcome });
      },
    },
    signal,
  );

  const read = totals.read({
    images: requests.length,
    ...tally,
    durationMs: nowMs() - startedMs,
  });
  onEvent({ type: 'traffic', hosts: traffic.read() });
  onEvent({ type: 'batch-finished', totals: read });
  return read;
}

/** The context of one fetch. A prefetch has slots of lower priority, and its events are buffered, until it is promoted. */
function contextOf(
  context: FetchContext,
  key: string,
  withDeps: boolean,
  { onDependencies, promoted }: VisitHooks,
): FetchContext {
  const onEvent = promoted ? createEventBuffer(context.onEvent, promoted) : context.onEvent;
  const slots = promoted ? context.slots.prefetch(promoted) : context.slots;
  return {
    ...context,
    onEvent,
    slots: reportSlots(slots, { key, onEvent, nowMs: context.nowMs }),
    ...(withDeps && { onDependencies }),
    ...(promoted && { promoted }),
  };
}

/**
 * Buffers the events of a prefetch until it is promoted; then passes them on, and every later event at once. The buffer has the last
 * event of each type, in the order in which these came, and all warnings.
 */
function createEventBuffer(onEvent: EventSink, promoted: Promise<void>): EventSink {
  const held = new Map<string | BatchEvent, BatchEvent>();
  let isPromoted = false;
  void promoted.then(() => {
    isPromoted = true;
    for (const event of held.values()) onEvent(event);
    held.clear();
  });
  return (event) => {
    if (isPromoted) {
      onEvent(event);
      return;
    }
    const key = event.type === 'warning' ? event : event.type;
    held.delete(key);
    held.set(key, event);
  };
}

/** Notes that the disk is full. */
type DiskWatch = {
  /** Why nothing new begins. */
  readonly full: ImageError<'STORE_FULL'> | undefined;
  watch<T>(work: () => Promise<T>): Promise<T>;
};

function createDiskWatch(): DiskWatch {
  let full: ImageError<'STORE_FULL'> | undefined;
  return {
    get full() {
      return full;
    },
    async watch(work) {
      try {
        return await work();
      } catch (error) {
        // a file that is too large for the file system, or for a limit of the process, leaves room for others
        if (hasCode(error, 'STORE_FULL') && error.details.errno !== 'EFBIG') full ??= error;
        throw error;
      }
    },
  };
}

/** The slots of one node: it gets none once the disk is full, unless it had one before. */
function refuseIfFull(slots: Slots, disk: DiskWatch): Slots {
  let hasBegun = false;
  const refusing =
    (run: Slots['run']): Slots['run'] =>
    (host, signal, work) =>
      run(host, signal, (slot) => {
        const full = hasBegun ? undefined : disk.full;
        if (full)
          throw new ImageError('STORE_FULL', 'not begun, since the disk is full', full.details, { cause: full });
        hasBegun = true;
        return disk.watch(() => work(slot)); // before the slot is given to another
      });
  return {
    run: refusing((host, signal, work) => slots.run(host, signal, work)),
    runFirst: refusing((host, signal, work) => slots.runFirst(host, signal, work)),
    answered: (host) => slots.answered(host),
    prefetch: (promoted) => refuseIfFull(slots.prefetch(promoted), disk),
  };
}

type SlotReport = { readonly key: string; readonly onEvent: EventSink; readonly nowMs: () => number };

/** Wraps slots so that an event reports when a node gets a slot, and how long it waited. */
function reportSlots(slots: Slots, { key, onEvent, nowMs }: SlotReport): Slots {
  const reporting =
    (run: Slots['run']): Slots['run'] =>
    (host, signal, work) => {
      const askedMs = nowMs();
      return run(host, signal, (slot) => {
        const waitedMs = Math.max(0, nowMs() - askedMs);
        onEvent({ type: 'place-taken', key, waitedMs, ...(host !== undefined && { host }) });
        return work(slot);
      });
    };
  return {
    run: reporting((host, signal, work) => slots.run(host, signal, work)),
    runFirst: reporting((host, signal, work) => slots.runFirst(host, signal, work)),
    answered: (host) => slots.answered(host),
    prefetch: (promoted) => reportSlots(slots.prefetch(promoted), { key, onEvent, nowMs }),
  };
}
