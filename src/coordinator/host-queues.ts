import PQueue from 'p-queue';

/** A queue for each host, there for as long as it has jobs. */
export type HostQueues = {
  add<T>(host: string, job: () => Promise<T>, priority: number): Promise<T>;
};

export function createHostQueues(jobsPerHost: number): HostQueues {
  const hosts = new Map<string, { readonly queue: PQueue; jobs: number }>();
  return {
    async add(name, job, priority) {
      const host = hosts.get(name) ?? { queue: new PQueue({ concurrency: jobsPerHost }), jobs: 0 };
      hosts.set(name, host);
      host.jobs += 1;
      try {
        return await host.queue.add(job, { priority });
      } finally {
        host.jobs -= 1;
        if (host.jobs === 0) hosts.delete(name);
      }
    },
  };
}
