import PQueue from 'p-queue';

import type { Slots } from '../fetchers/context.ts';
import { createHostQueues } from './host-queues.ts';
import { createPlacesAhead } from './places-ahead.ts';

type Work<T> = (arrived: () => void) => Promise<T>;

/**
 * Places for transfers: the host's queue outside, the batch's inside. The other way round an idle host would wait behind
 * a busy one. What has arrived gives its place up before it is worked off, as long as no more than `jobs` do. What is ahead
 * has half of the places, or else one image that names many, and lets them drip, would keep all others from coming.
 * A job that is not begun when the signal is aborted rejects with its reason; the queues are never cleared.
 */
export function createSlots({ jobs, jobsPerHost }: { readonly jobs: number; readonly jobsPerHost: number }): Slots {
  const batch = new PQueue({ concurrency: jobs });
  const hosts = createHostQueues(jobsPerHost);
  const whileAhead = createPlacesAhead(Math.max(1, jobs >> 1));
  let arrears = 0;

  const run = async <T>(
    host: string | undefined,
    signal: AbortSignal,
    work: Work<T>,
    confirmed?: Promise<void>,
  ): Promise<T> => {
    let done: Promise<T> | undefined;
    const begin = async (): Promise<void> => {
      if (done) return; // its other turn came first
      signal.throwIfAborted();
      const arrival = Promise.withResolvers<void>();
      let isAhead = false;
      done = work(() => {
        if (isAhead || arrears >= jobs) return;
        isAhead = true;
        arrears += 1;
        arrival.resolve();
      }).finally(() => {
        if (isAhead) arrears -= 1;
      });
      await Promise.race([done, arrival.promise]);
    };
    const inBatch = (): Promise<void> => batch.add(begin);
    const turn = (priority: number): Promise<void> =>
      host === undefined ? inBatch() : hosts.add(host, inBatch, priority);

    // What is confirmed while it waits gets a second turn, among the others; whichever comes first counts.
    if (confirmed) await Promise.race([turn(-1), confirmed.then(() => (done ? undefined : turn(0)))]);
    else await turn(0);
    if (!done) throw new Error('a place was given, but not used');
    return done;
  };

  const ahead = (confirmed: Promise<void>): Slots => ({
    run: (host, signal, work) => whileAhead(confirmed, signal, () => run(host, signal, work, confirmed)),
    ahead,
  });
  return { run: (host, signal, work) => run(host, signal, work), ahead };
}
