import PQueue from 'p-queue';

import type { Slots } from '../fetchers/context.ts';

type Work<T> = (arrived: () => void) => Promise<T>;

/**
 * Places for transfers: the host's queue outside, the batch's inside. The other way round an idle host would wait behind
 * a busy one. What has arrived gives its place up before it is worked off, as long as no more than `jobs` do. What is ahead
 * has half of the places, or else one image that names many, and lets them drip, would keep all others from coming.
 * A job that is not begun when the signal is aborted rejects with its reason; the queues are never cleared.
 */
export function createSlots({ jobs, jobsPerHost }: { readonly jobs: number; readonly jobsPerHost: number }): Slots {
  const batch = new PQueue({ concurrency: jobs });
  const early = new PQueue({ concurrency: Math.max(1, jobs >> 1) });
  const hosts = new Map<string, { readonly queue: PQueue; jobs: number }>();

  /** The host's queue is there for as long as it has jobs. */
  const atHost = async <T>(name: string, job: () => Promise<T>, priority: number): Promise<T> => {
    const host = hosts.get(name) ?? { queue: new PQueue({ concurrency: jobsPerHost }), jobs: 0 };
    hosts.set(name, host);
    host.jobs += 1;
    try {
      return await host.queue.add(job, { priority });
    } finally {
      host.jobs -= 1;
      if (host.jobs === 0) hosts.delete(name);
    }
  };

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
      host === undefined ? inBatch() : atHost(host, inBatch, priority);

    // What is confirmed while it waits gets a second turn, among the others; whichever comes first counts.
    if (confirmed) await Promise.race([turn(-1), confirmed.then(() => (done ? undefined : turn(0)))]);
    else await turn(0);
    if (!done) throw new Error('a place was given, but not used');
    return done;
  };

  /** Holds one of the places for what is ahead, until the job is over, is dropped, or is not ahead any more. */
  const whileAhead = async <T>(confirmed: Promise<void>, signal: AbortSignal, job: () => Promise<T>): Promise<T> => {
    const place = Promise.withResolvers<void>();
    const over = Promise.withResolvers<void>();
    const drop = (): void => over.resolve();
    signal.addEventListener('abort', drop);
    try {
      signal.throwIfAborted();
      const left = Promise.race([over.promise, confirmed]);
      void early.add(() => {
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

  const ahead = (confirmed: Promise<void>): Slots => ({
    run: (host, signal, work) => whileAhead(confirmed, signal, () => run(host, signal, work, confirmed)),
    ahead,
  });
  return { run: (host, signal, work) => run(host, signal, work), ahead };
}
