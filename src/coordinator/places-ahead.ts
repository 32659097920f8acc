import PQueue from 'p-queue';

import { takeTurn, type Leave } from './host-queues.ts';

/**
 * Holds one of a few places until the job is over, is dropped by its signal, has been confirmed, or calls `leave` since
 * others are not to wait for it.
 */
export type PlacesAhead = <T>(
  confirmed: Promise<void>,
  signal: AbortSignal,
  job: (leave: Leave) => Promise<T>,
) => Promise<T>;

export function createPlacesAhead(places: number): PlacesAhead {
  const queue = new PQueue({ concurrency: places });
  return async (confirmed, signal, job) => {
    const over = Promise.withResolvers<void>();
    const drop = (): void => over.resolve();
    signal.addEventListener('abort', drop);
    try {
      signal.throwIfAborted();
      const left = Promise.race([over.promise, confirmed]);
      const turn = takeTurn(queue, 0);
      void Promise.all([turn, left]).then(([leave]) => leave());
      await Promise.race([turn, left]);
      return await job(drop);
    } finally {
      signal.removeEventListener('abort', drop);
      drop();
    }
  };
}
