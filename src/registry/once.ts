type Flight<T> = { readonly result: Promise<T>; readonly controller: AbortController; waiting: number };

/**
 * Work that many ask for and that is done once. It is done anew after it has failed, or was given up because the last
 * who waited for it did.
 */
export function once<T>(work: (signal: AbortSignal) => Promise<T>): (signal: AbortSignal) => Promise<T> {
  let flight: Flight<T> | undefined;

  function start(): Flight<T> {
    const controller = new AbortController();
    const started = { result: work(controller.signal), controller, waiting: 0 };
    started.result.catch(() => forget(started));
    return started;
  }

  function forget(ended: Flight<T>): void {
    if (flight === ended) flight = undefined;
  }

  return async (signal) => {
    signal.throwIfAborted();
    const mine = (flight ??= start());
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const stop = () => {
      if (mine.waiting === 1) {
        forget(mine);
        mine.controller.abort(signal.reason);
      }
      reject(signal.reason as Error); // whatever the caller aborts with
    };
    mine.waiting += 1;
    signal.addEventListener('abort', stop, { once: true });
    try {
      if (signal.aborted) stop(); // by what the work did at once
      return await Promise.race([mine.result, aborted]);
    } finally {
      mine.waiting -= 1;
      signal.removeEventListener('abort', stop);
    }
  };
}
