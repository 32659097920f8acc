import PQueue from 'p-queue';

import type { Slots } from '../fetchers/context.ts';

/**
 * Places for transfers: the host's queue outside, the batch's inside. The other way round an idle host would wait behind
 * a busy one. What has arrived gives its place up before it is worked off, as long as no more than `jobs` do.
 * A job that is not begun when the signal is aborted rejects with its reason; the queues are never cleared.
 */
export function createSlots({ jobs, jobsPerHost }: { readonly jobs: number; readonly jobsPerHost: number }): Slots {
  const batch = new PQueue({ concurrency: jobs });
  const hosts = new Map<string, { readonly queue: PQueue; jobs: number }>();

  /** The host's queue is there for as long as it has jobs. */
  const atHost = async <T>(name: string, job: () => Promise<T>): Promise<T> => {
    const host = hosts.get(name) ?? { queue: new PQueue({ concurrency: jobsPerHost }), jobs: 0 };
    hosts.set(name, host);
    host.jobs += 1;
    try {
      return await host.queue.add(job);
    } finally {
      host.jobs -= 1;
      if (host.jobs === 0) hosts.delete(name);
    }
  };

  let arrears = 0;

  return {
    async run<T>(host: string | undefined, signal: AbortSignal, work: (arrived: () => void) => Promise<T>): Promise<T> {
      let done: Promise<T> | undefined;
      const begin = async (): Promise<void> => {
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
      await (host === undefined ? inBatch() : atHost(host, inBatch));
      if (!done) throw new Error('a place was given, but not used');
      return done;
    },
  };
}
