import { cancelledBy } from './coordinator/outcome.ts';
import { closedError, ImageError } from './errors.ts';
import type { EventSink } from './events.ts';
import { abortable } from './system/single-flight.ts';

/** What runs one batch gets from the finder. */
export type Batch = {
  /** Aborted when the batch has to end early. With CLOSED as the reason, its images fail; with any other they are cancelled. */
  readonly signal: AbortSignal;
  /** Calls the caller's sink, with the batch's number. Never throws. */
  readonly onEvent: EventSink;
  /** Calls a function of the caller: its error, or the rejection of the promise that it returns, ends the batch. Never throws. */
  readonly call: (callback: () => unknown) => void;
};

type Ends = {
  /** The caller's. */
  readonly signal: AbortSignal | undefined;
  /** Those of what the batch works with: aborted with CLOSED. */
  readonly closed: readonly AbortSignal[];
};

/** The batches of one finder. */
export type Batches = {
  /** Runs a batch. @throws what a function of the caller threw; CLOSED after close */
  run<T>(ends: Ends, work: (batch: Batch) => Promise<T>): Promise<T>;
  /** For events of no single batch: an error of the sink ends all batches that run, or else the next one. Never throws. */
  readonly onEvent: EventSink;
  /** @throws what the sink has thrown while no batch ran */
  throwIfFailed(): void;
  /** Cancels all batches. Resolves when they have ended. */
  close(): Promise<void>;
};

export function createBatches(what: 'finder' | 'fetcher' | 'pusher', sink: EventSink | undefined): Batches {
  const running = new Set<RunningBatch>();
  /** What the sink returned or threw while no batch ran. */
  let unowned: Result[] = [];
  let last = 0;
  let isClosed = false;

  return {
    async run({ signal, closed }, work) {
      if (isClosed) throw closedError(what);
      last += 1;
      const batch = openBatch(last, sink);
      running.add(batch);
      for (const result of unowned) batch.settle(result);
      unowned = [];
      const stopFollowing = [
        ...(signal ? [follow(signal, () => batch.stop(cancelledBy(signal.reason)))] : []),
        ...closed.map((one) => follow(one, () => batch.stop(one.reason))),
      ];
      try {
        const result = await work(batch);
        await batch.settled();
        return result;
      } catch (error) {
        batch.throwIfFailed();
        throw error;
      } finally {
        for (const stop of stopFollowing) stop();
        running.delete(batch);
        batch.over.resolve();
      }
    },
    onEvent(event) {
      const result = resultOf(() => sink?.(event));
      if (!result) return;
      if (running.size === 0) unowned.push(result);
      for (const batch of running) batch.settle(result);
    },
    throwIfFailed() {
      for (const result of unowned) if (result.kind === 'thrown') throw result.error;
    },
    async close() {
      isClosed = true;
      const reason = new ImageError(
        'CANCELLED',
        `the ${what} was closed`,
        { reason: 'closed' },
        { cause: closedError(what) },
      );
      for (const batch of running) batch.stop(reason);
      await Promise.all(Array.from(running, ({ over }) => over.promise));
    },
  };
}

type RunningBatch = Batch & {
  readonly over: PromiseWithResolvers<void>;
  stop(reason: unknown): void;
  /** The batch ends with the error, or only after the promise. */
  settle(result: Result): void;
  /** Resolves when the promises that callbacks returned are settled, or the batch is stopped. @throws as throwIfFailed */
  settled(): Promise<void>;
  /** @throws the first error of a callback */
  throwIfFailed(): void;
};

function openBatch(number: number, sink: EventSink | undefined): RunningBatch {
  const controller = new AbortController();
  const { signal } = controller;
  const pending = new Set<Promise<void>>();
  let failure: { readonly error: unknown } | undefined;

  const fail = (error: unknown): void => {
    failure ??= { error };
    controller.abort(cancelledBy(error));
  };
  const settle = (result: Result): void => {
    if (result.kind === 'thrown') return fail(result.error);
    const over = result.promise.then(() => undefined, fail).then(() => void pending.delete(over));
    pending.add(over);
  };
  const call = (callback: () => unknown): void => {
    if (failure) return; // nothing is said to who has failed
    const result = resultOf(callback);
    if (result) settle(result);
  };
  const throwIfFailed = (): void => {
    if (failure) throw failure.error;
  };

  return {
    signal,
    onEvent: sink ? (event) => call(() => sink({ ...event, batch: number })) : () => undefined,
    call,
    over: Promise.withResolvers<void>(),
    stop: (reason) => controller.abort(reason),
    settle,
    async settled() {
      await abortable(Promise.all(pending), signal).catch(() => undefined); // a stopped batch waits for nobody
      throwIfFailed();
    },
    throwIfFailed,
  };
}

/** What a callback did, where it was more than to return. A promise may be anything that has a `then`. */
type Result =
  | { readonly kind: 'thrown'; readonly error: unknown }
  | { readonly kind: 'promise'; readonly promise: Promise<unknown> };

function resultOf(callback: () => unknown): Result | undefined {
  try {
    const value = callback();
    if (typeof value !== 'object' || value === null || !('then' in value)) return undefined;
    const promise = Promise.resolve(value);
    promise.catch(() => undefined); // looked at by the batches that it concerns
    return { kind: 'promise', promise };
  } catch (error) {
    return { kind: 'thrown', error };
  }
}

/** Calls back when a signal is aborted, also if it is already. @returns a function that ends that */
function follow(signal: AbortSignal, onAbort: () => void): () => void {
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  return () => signal.removeEventListener('abort', onAbort);
}
