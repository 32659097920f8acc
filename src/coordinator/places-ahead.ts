import PQueue from 'p-queue';

/** Holds one of a few places until the job is over, is dropped by its signal, or has been confirmed. */
export type PlacesAhead = <T>(confirmed: Promise<void>, signal: AbortSignal, job: () => Promise<T>) => Promise<T>;

export function createPlacesAhead(places: number): PlacesAhead {
  const queue = new PQueue({ concurrency: places });
  return async (confirmed, signal, job) => {
    const place = Promise.withResolvers<void>();
    const over = Promise.withResolvers<void>();
    const drop = (): void => over.resolve();
    signal.addEventListener('abort', drop);
    try {
      signal.throwIfAborted();
      const left = Promise.race([over.promise, confirmed]);
      void queue.add(() => {
        place.resolve();
        return left;
      });
      await Promise.race([place.promise, left]);
      return await job();
    } finally {
      signal.removeEventListener('abort', drop);
      drop();
    }
  };
}
