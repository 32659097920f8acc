export type Turn = {
  /** True when another one had it first. */
  readonly waited: boolean;
  readonly end: () => void;
};

/** Lets in one holder of each key at a time, in the order of asking, within the process. */
export type Turns = {
  /** Rejects with the signal's reason once it is aborted. */
  take(key: string, signal: AbortSignal): Promise<Turn>;
  tryTake(key: string): Turn | undefined;
};

export function createTurns(): Turns {
  /** Of each key that somebody has, those who wait for it. */
  const queues = new Map<string, Set<() => void>>();

  const begin = (key: string, waited: boolean): Turn => ({
    waited,
    end: () => {
      const queue = queues.get(key) ?? new Set();
      const [next] = queue;
      if (!next) return void queues.delete(key);
      queue.delete(next);
      next();
    },
  });

  return {
    tryTake(key) {
      if (queues.has(key)) return undefined;
      queues.set(key, new Set());
      return begin(key, false);
    },
    async take(key, signal) {
      signal.throwIfAborted();
      const queue = queues.get(key);
      if (queue) await wait(queue, signal);
      else queues.set(key, new Set());
      return begin(key, queue !== undefined);
    },
  };
}

function wait(queue: Set<() => void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = (): void => {
      queue.delete(enter);
      reject(signal.reason as Error);
    };
    const enter = (): void => {
      signal.removeEventListener('abort', leave);
      resolve();
    };
    signal.addEventListener('abort', leave, { once: true });
    queue.add(enter);
  });
}
