/** The result of work that cannot be told to stop, or the signal's reason as soon as nobody waits for it any more. */
export async function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const stop = (): void => aborted.reject(signal.reason);
  signal.addEventListener('abort', stop);
  try {
    if (signal.aborted) stop(); // raced all the same: work that fails later must not be an unhandled rejection
    return await Promise.race([aborted.promise, work]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

type Flight<T> = {
  readonly result: Promise<T>;
  readonly controller: AbortController;
  waiting: number;
  isOver: boolean;
};

/**
 * Work that many ask for and that is done once. It is done anew after it has failed, or was given up because nobody
 * waited for it any more.
 */
export function singleFlight<T>(work: (signal: AbortSignal) => Promise<T>): (signal: AbortSignal) => Promise<T> {
  let flight: Flight<T> | undefined;

  function start(): Flight<T> {
    const controller = new AbortController();
    const started = { result: work(controller.signal), controller, waiting: 0, isOver: false };
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

  return async (signal) => {
    signal.throwIfAborted();
    const mine = (flight ??= start());
    mine.waiting += 1;
    try {
      return await abortable(mine.result, signal);
    } finally {
      mine.waiting -= 1;
      if (mine.waiting === 0 && !mine.isOver) {
        forget(mine);
        mine.controller.abort(signal.reason);
      }
    }
  };
}
