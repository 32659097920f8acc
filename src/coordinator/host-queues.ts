import PQueue from 'p-queue';

/** Gives a turn back; more than once changes nothing. */
export type Leave = () => void;

/** Waits for a turn in a queue, which lasts until it is given back. */
export async function takeTurn(queue: PQueue, priority: number): Promise<Leave> {
  const begun = Promise.withResolvers<void>();
  const over = Promise.withResolvers<void>();
  const turn = (): Promise<void> => {
    begun.resolve();
    return over.promise;
  };
  void queue.add(turn, { priority });
  await begun.promise;
  return over.resolve;
}

/** `good`: it brought something at a decent pace. `answers`: nothing better is known of it, or it was too slow lately. */
type Standing = 'good' | 'answers';

/** A queue for each host, there for as long as it has jobs, and how each host has done so far. */
type HostQueues = {
  /** Waits for a turn at a host. A host that has not shown yet what it can do has one at a time. */
  turn(host: string, priority: number): Promise<Leave>;
  standing(host: string): Standing | undefined;
  setStanding(host: string, standing: Standing): void;
  /** Turns of a host that are taken. */
  taken(host: string): number;
  /** Whether anything waits for a turn. */
  hasWaiting(): boolean;
};

export function createHostQueues(jobsPerHost: number): HostQueues {
  const hosts = new Map<string, { readonly queue: PQueue; jobs: number }>();
  const standings = new Map<string, Standing>();

  return {
    async turn(name, priority) {
      const concurrency = standings.has(name) ? jobsPerHost : 1;
      const host = hosts.get(name) ?? { queue: new PQueue({ concurrency }), jobs: 0 };
      hosts.set(name, host);
      host.jobs += 1;
      const leave = await takeTurn(host.queue, priority);
      let isOver = false;
      return () => {
        if (isOver) return;
        isOver = true;
        leave();
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
    taken: (host) => hosts.get(host)?.queue.pending ?? 0,
    hasWaiting: () => hosts.values().some(({ queue }) => queue.size > 0),
  };
}

/**
 * Holds one of a few places until the job is over, is dropped by its signal, has been confirmed, or calls `leave` since
 * others are not to wait for it.
 */
type PlacesAhead = <T>(confirmed: Promise<void>, signal: AbortSignal, job: (leave: Leave) => Promise<T>) => Promise<T>;

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
