/** The result of work that cannot be aborted itself; rejects with the signal's reason as soon as that is aborted. */
export async function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const stop = (): void => aborted.reject(signal.reason);
  signal.addEventListener('abort', stop);
  try {
    if (signal.aborted) stop(); // the work is awaited anyway: its later failure must not be an unhandled rejection
    return await Promise.race([aborted.promise, work]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** Loads a module when it is first needed. Caches the promise, since each import() asks the loader again. */
export function lazy<T>(load: () => Promise<T>): () => Promise<T> {
  let loading: Promise<T> | undefined;
  return () => (loading ??= load());
}

type Flight<T> = {
  readonly result: Promise<T>;
  readonly controller: AbortController;
  waiting: number;
  isOver: boolean;
};

/**
 * Runs work once for all callers, and keeps its result. The work is aborted when the last waiting caller aborts. After it has failed
 * or was aborted, the next call runs it again.
 *
 * @param work - gets what the caller gave that it begins for.
 */
export function singleFlight<T, G extends readonly unknown[] = []>(
  work: (signal: AbortSignal, ...given: G) => Promise<T>,
): (signal: AbortSignal, ...given: G) => Promise<T> {
  let flight: Flight<T> | undefined;

  function start(given: G): Flight<T> {
    const controller = new AbortController();
    const started = { result: work(controller.signal, ...given), controller, waiting: 0, isOver: false };
    const end = (): void => void (started.isOver = true);
    started.result.then(end, () => {
      end();
      forget(started);
    });
    return started;
  }

  function forget(ended: Flight<T>): void {
    if (flight === ended) flight = undefined;
  }

  return async (signal, ...given) => {
    signal.throwIfAborted();
    const joined = (flight ??= start(given));
    if (joined.isOver) return joined.result;
    joined.waiting += 1;
    try {
      return await abortable(joined.result, signal);
    } finally {
      joined.waiting -= 1;
      if (joined.waiting === 0 && !joined.isOver) {
        forget(joined);
        joined.controller.abort(signal.reason);
      }
    }
  };
}

/** Runs work side by side. If some of it fails, the rest is aborted, and has ended when the first failure is thrown. */
export async function sideBySide<I, T>(
  items: readonly I[],
  work: (item: I, signal: AbortSignal) => Promise<T>,
  signal: AbortSignal,
): Promise<readonly T[]> {
  const [only] = items;
  if (only !== undefined && items.length === 1) return [await work(only, signal)];
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const results = await Promise.all(
    items.map(async (item) => {
      try {
        return { value: await work(item, either) };
      } catch (error) {
        stop.abort(error);
        return undefined;
      }
    }),
  );
  either.throwIfAborted();
  return results.flatMap((result) => (result ? [result.value] : []));
}

/** Does work again and again, once at a time, until it is stopped; what still runs then is waited for a moment only. */
export function every(
  ms: number,
  onFailure: (error: unknown) => void,
  work: () => Promise<unknown>,
): { readonly stop: () => Promise<void> } {
  let running: Promise<void> | undefined;
  const timer = setInterval(() => {
    running ??= work()
      .then(() => undefined, onFailure)
      .finally(() => void (running = undefined));
  }, ms);
  return {
    async stop() {
      clearInterval(timer);
      await Promise.race([running, new Promise((resolve) => setTimeout(resolve, 100))]);
    },
  };
}
