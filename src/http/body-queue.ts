/** Chunks on their way from a socket to one reader, as they came: nothing is joined or copied. */
export type BodyQueue = AsyncIterable<Uint8Array> & {
  push(chunk: Uint8Array): void;
  end(): void;
  /** After what has come before. */
  fail(error: unknown): void;
};

/** How the queue acts on its source. */
export type Source = {
  /** More than the queue should hold. */
  readonly pause: () => void;
  readonly resume: () => void;
  /** The reader has lost interest. */
  readonly cancel: () => void;
};

type Waiter = { resolve: (result: IteratorResult<Uint8Array, undefined>) => void; reject: (error: unknown) => void };

const done: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** @param highBytes - what may wait before the source is paused; it goes on at half of that. */
export function bodyQueue(source: Source, highBytes: number): BodyQueue {
  const chunks: Uint8Array[] = [];
  let waiting: Waiter | undefined;
  let bytes = 0;
  let paused = false;
  let outcome: { readonly error?: unknown } | undefined;

  const finish = (how: { readonly error?: unknown }) => {
    outcome ??= how;
    if (chunks.length > 0 || !waiting) return;
    if ('error' in outcome) waiting.reject(outcome.error);
    else waiting.resolve(done);
    waiting = undefined;
  };

  const iterator: AsyncIterator<Uint8Array, undefined> = {
    next() {
      const chunk = chunks.shift();
      if (chunk) {
        bytes -= chunk.byteLength;
        if (paused && bytes <= highBytes / 2) {
          paused = false;
          source.resume();
        }
        return Promise.resolve({ done: false, value: chunk });
      }
      return new Promise((resolve, reject) => {
        waiting = { resolve, reject };
        if (outcome) finish(outcome);
      });
    },
    return() {
      chunks.length = 0;
      const early = outcome === undefined;
      finish({});
      if (early) source.cancel();
      return Promise.resolve(done);
    },
  };

  return {
    [Symbol.asyncIterator]: () => iterator,
    push(chunk) {
      if (outcome) return;
      if (waiting) {
        waiting.resolve({ done: false, value: chunk });
        waiting = undefined;
        return;
      }
      chunks.push(chunk);
      bytes += chunk.byteLength;
      if (!paused && bytes > highBytes) {
        paused = true;
        source.pause();
      }
    },
    end: () => finish({}),
    fail: (error) => finish({ error }),
  };
}
