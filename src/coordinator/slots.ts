import PQueue from 'p-queue';

import type { Slots } from '../fetchers/context.ts';

/**
 * Places for transfers: the host's queue outside, the batch's inside. The other way round an idle host would wait behind
 * a busy one. A job that is not begun when the signal is aborted rejects with its reason; the queues are never cleared.
 */
export function createSlots({ jobs, jobsPerHost }: { readonly jobs: number; readonly jobsPerHost: number }): Slots {
  const batch = new PQueue({ concurrency: jobs });
  const hosts = new Map<string, PQueue>();

  const hostQueue = (host: string): PQueue => {
    const known = hosts.get(host);
    if (known) return known;
    const queue = new PQueue({ concurrency: jobsPerHost });
    hosts.set(host, queue);
    return queue;
  };

  return {
    run<T>(host: string | undefined, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
      const begin = (): Promise<T> => {
        signal.throwIfAborted();
        return work();
      };
      const inBatch = (): Promise<T> => batch.add(async () => begin());
      return host === undefined ? inBatch() : hostQueue(host).add(inBatch);
    },
  };
}
