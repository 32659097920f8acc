import PQueue from 'p-queue';

import type { Slots } from '../fetchers/context.ts';

/**
 * Places for transfers: the host's queue outside, the batch's inside. The other way round an idle host would wait behind
 * a busy one. A job that is not begun when the signal is aborted rejects with its reason; the queues are never cleared.
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

  return {
    run<T>(host: string | undefined, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
      const begin = (): Promise<T> => {
        signal.throwIfAborted();
        return work();
      };
      const inBatch = (): Promise<T> => batch.add(async () => begin());
      return host === undefined ? inBatch() : atHost(host, inBatch);
    },
  };
}
