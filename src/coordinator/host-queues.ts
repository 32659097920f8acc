import PQueue from 'p-queue';

/** Gives a slot back. A second call has no effect. */
export type Release = () => void;

/** Waits for a slot of a queue. @returns gives the slot back */
export async function takeSlot(queue: PQueue, priority: number): Promise<Release> {
  const begun = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const occupy = (): Promise<void> => {
    begun.resolve();
    return released.promise;
  };
  void queue.add(occupy, { priority });
  await begun.promise;
  return released.resolve;
}

/** `good`: the host has sent data fast enough. `answers`: it has answered, but has not yet sent data, or was too slow lately. */
type Standing = 'good' | 'answers';

/** A queue for each host that has jobs, and the standing of each host; undefined for a host that has not answered yet. */
type HostQueues = {
  /** Waits for a slot at a host. A host that has not answered yet has one slot. */
  slot(host: string, priority: number): Promise<Release>;
  standing(host: string): Standing | undefined;
  setStanding(host: string, standing: Standing): void;
  /** The number of slots of a host that are in use. */
  used(host: string): number;
  /** Whether any job waits for a slot. */
  hasWaiting(): boolean;
};

export function createHostQueues(jobsPerHost: number): HostQueues {
  const hosts = new Map<string, { readonly queue: PQueue; jobs: number }>();
  const standings = new Map<string, Standing>();

  return {
    async slot(name, priority) {
      const concurrency = standings.has(name) ? jobsPerHost : 1;
      const host = hosts.get(name) ?? { queue: new PQueue({ concurrency }), jobs: 0 };
      hosts.set(name, host);
      host.jobs += 1;
      const release = await takeSlot(host.queue, priority);
      let isOver = false;
      return () => {
        if (isOver) return;
        isOver = true;
        release();
        host.jobs -= 1;
        if (host.jobs === 0) hosts.delete(name);
      };
    },
    standing: (host) => standings.get(host),
    setStanding(host, standing) {
      if (standings.get(host) === standing) return;
      standings.set(host, standing);
      const queue = hosts.get(host)?.queue;
      if (queue) queue.concurrency = jobsPerHost;
    },
    used: (host) => hosts.get(host)?.queue.pending ?? 0,
    hasWaiting: () => hosts.values().some(({ queue }) => queue.size > 0),
  };
}

/**
 * Runs a job in one of a few slots. The job has its slot until it ends, its signal is aborted, it is promoted, or it calls
 * `release`.
 */
type PrefetchSlots = <T>(
  promoted: Promise<void>,
  signal: AbortSignal,
  job: (release: Release) => Promise<T>,
) => Promise<T>;

export function createPrefetchSlots(count: number): PrefetchSlots {
  const queue = new PQueue({ concurrency: count });
  return async (promoted, signal, job) => {
    const over = Promise.withResolvers<void>();
    const release = (): void => over.resolve();
    signal.addEventListener('abort', release);
    try {
      signal.throwIfAborted();
      const released = Promise.race([over.promise, promoted]);
      const slot = takeSlot(queue, 0);
      void Promise.all([slot, released]).then(([releaseSlot]) => releaseSlot());
      await Promise.race([slot, released]);
      return await job(release);
    } finally {
      signal.removeEventListener('abort', release);
      release();
    }
  };
}
