import type { Job, Queue, Worker } from 'bullmq';
import type { Redis } from 'ioredis';

import { parseReference } from '../internal.ts';
import { debugLog } from '../system/debug.ts';
import type { Batch, BatchImage } from './batch.ts';
import { fleetVersion } from './document.ts';
import { keyPrefix, runsKey } from './ledger.ts';

const debug = debugLog('fleet');

/** An image that a worker has taken from its queue. No other worker gets it, unless this one is lost. */
export type Taken = {
  /** The place of the image in its batch. */
  readonly index: number;
  /** How often it failed in a way that another try may mend. */
  readonly failures: number;
  /** How often a worker was lost that had begun with it. */
  readonly losses: number;
  /** Aborted when it is no longer ours, and when the worker is to stop. */
  readonly signal: AbortSignal;
  /** Notes that this worker gives it back since it cannot work. @returns how often workers did that with it */
  giveBack(): Promise<number>;
  /** How many workers this batch has lost, those that had this image among them. */
  lostWorkers(): Promise<number>;
  /** Whether it is still ours: another worker gets it when this one was stopped, or had no connection, for longer than its lock. */
  isOurs(): Promise<boolean>;
};

/** `later`: it is left to whoever takes it then. `failed`: the same, after a time that grows, and it counts. `released`: to whoever is free. */
export type Ending = 'done' | 'later' | 'failed' | 'released';

/** The images of a batch that are not done, as jobs of BullMQ: one queue for each host that they come from. */
export type ImageQueues = AsyncDisposable & {
  /** Adds images. One that is there already stays as it is. */
  add(indexes: readonly number[]): Promise<void>;
  /** How many images are there, being worked on or not. */
  count(): Promise<number>;
  /** Which of them are not there. */
  absent(indexes: readonly number[]): Promise<readonly number[]>;
  /** Takes images and works on them until `stop`. An error of `work` counts as `failed`. */
  take(work: (image: Taken) => Promise<Ending>): void;
  /** No worker takes an image from this host for a time. */
  pauseHost(host: string, forMs: number): Promise<void>;
  /** This worker takes no images for the time being, or no more than one at a time, or as many as it can. */
  limit(most: 'none' | 'one' | 'all'): Promise<void>;
  /** Stops what runs: it goes back to where it was. */
  stop(reason: unknown): Promise<void>;
  /** Removes all that Redis has of them. @param isLeft - others may be adding to them: what they leave behind is removed later */
  remove(isLeft: boolean): Promise<void>;
};

/** How long who has an image keeps it without a sign of life, and how often that is looked at. */
export type Timing = {
  readonly lockMs: number;
  readonly checkMs: number;
  /** Before an image that failed is tried again; doubled each time. */
  readonly retryMs: number;
  /** Before an image that was left for later is taken again. */
  readonly laterMs: number;
};

export const defaultTiming: Timing = Object.freeze({
  lockMs: 10_000,
  checkMs: 5_000,
  retryMs: 5_000,
  laterMs: 1_000,
});

export type QueueSettings = {
  readonly redis: Redis;
  readonly batch: Pick<Batch, 'id' | 'perHost' | 'images' | 'expiresAtMs'>;
  /** Of this process, and of no other. */
  readonly workerRun: string;
  /** How many images this worker works on, in all and of one host. */
  readonly concurrency: { readonly images: number; readonly perHost: number };
  readonly timing?: Timing;
};

/** Tries of an image whose failures may mend: by other workers as well. */
export const maxTries = 3;

/** Images of further hosts share a queue: each queue costs a worker a connection. */
const maxQueues = 64;

/** How many jobs are sent at a time. */
const chunk = 500;

export async function openImageQueues(settings: QueueSettings): Promise<ImageQueues> {
  const { redis, batch, concurrency, timing = defaultTiming } = settings;
  const { Queue, Worker, DelayedError, WaitingError } = await import('bullmq');
  const names = queueNames(batch);
  const nameOf = (index: number): string => names.get(hostOf(batch.images[index])) ?? names.get(undefined) ?? batch.id;
  const queues = new Map<string, Queue>();
  const workers = new Map<string, Worker>();
  const drained = new Set<string>();
  const stopping = new AbortController();
  const { runs, lost, lossCounts, returned } = notesOf(batch.id);
  let most: 'none' | 'one' | 'all' = 'all';

  const queueOf = (name: string): Queue => {
    const known = queues.get(name);
    if (known) return known;
    const queue = new Queue(name, {
      ...{ connection: redis, prefix: keyPrefix },
      defaultJobOptions: {
        ...{ removeOnComplete: true, removeOnFail: true, stackTraceLimit: 0 },
        ...{ attempts: maxTries, backoff: { type: 'exponential', delay: timing.retryMs } },
      },
      streams: { events: { maxLen: 16 } }, // nobody reads them
    });
    queue.on('error', reportError);
    queues.set(name, queue);
    return queue;
  };

  /**
   * How often workers were lost that had begun with an image, after BullMQ missed the one that had it so many times. What a worker merely
   * held, since it does one after the other, is not to blame.
   */
  const lossesOf = async (index: number, stalled: number): Promise<number> => {
    const [counted, seen] = await redis.hmget(lossCounts, String(index), `${index} seen`);
    if (stalled === Number(seen)) return Number(counted ?? 0);
    const run = await redis.hget(runs, String(index));
    const noted = redis.multi().hset(lossCounts, `${index} seen`, stalled);
    if (run !== null) noted.sadd(lost, run).hdel(runs, String(index)).hincrby(lossCounts, String(index), 1);
    await noted.exec();
    return Number(counted ?? 0) + (run === null ? 0 : 1);
  };

  const process = async (
    work: (image: Taken) => Promise<Ending>,
    name: string,
    { job, token, lock }: { readonly job: Job; readonly token: string; readonly lock: AbortSignal },
  ): Promise<void> => {
    const index = indexOf(job);
    if (index === undefined || nameOf(index) !== name) {
      debug(() => `a job in ${name} is none of the batch`);
      return;
    }
    const losses = job.stalledCounter === 0 ? 0 : Math.max(0, await lossesOf(index, job.stalledCounter)); // who was not lost may say so first
    const ending = await work({
      ...{ index, failures: job.attemptsMade, losses },
      signal: AbortSignal.any([lock, stopping.signal]),
      giveBack: () => redis.hincrby(returned, String(index), 1),
      lostWorkers: () => redis.scard(lost),
      isOurs: async () => (await job.extendLock(token, timing.lockMs).catch(() => 0)) === 1,
    });
    if (lock.aborted && ending !== 'later') await redis.hincrby(lossCounts, String(index), -1); // it was not lost after all
    lock.throwIfAborted();
    if (ending === 'done') return;
    await redis.hdel(runs, String(index));
    switch (ending) {
      case 'failed':
        throw new Error('to be tried again');
      case 'later':
        await job.moveToDelayed(Date.now() + timing.laterMs, token);
        throw new DelayedError();
      case 'released':
        await job.moveToWait(token);
        throw new WaitingError();
    }
  };

  /** A host gets its share of what this worker can do: others may do what it has not taken. */
  const share = (): void => {
    const busy = Math.max(1, workers.size - drained.size);
    const each = Math.max(1, Math.min(concurrency.perHost, Math.floor(concurrency.images / busy)));
    for (const worker of workers.values()) worker.concurrency = most === 'one' ? 1 : each;
  };

  const openWorker = (name: string, work: (image: Taken) => Promise<Ending>): Worker => {
    const worker: Worker = new Worker(
      name,
      // BullMQ gives a signal to functions with three parameters only: one with a default does not count
      (job: Job, token: string | undefined, lock: AbortSignal | undefined) =>
        process(work, name, { job, token: token ?? '', lock: lock ?? stopping.signal }),
      {
        ...{ connection: redis, prefix: keyPrefix, autorun: false },
        ...{ lockDuration: timing.lockMs, stalledInterval: timing.checkMs, runRetryDelay: 1000 },
        maxStalledCount: 1_000_000, // `work` gives up by itself
      },
    );
    worker.on('error', reportError);
    worker.on('lockRenewalFailed', (ids: string[]) => {
      for (const id of ids) worker.cancelJob(id, 'another worker has it');
    });
    worker.on('drained', () => {
      drained.add(name);
      share();
    });
    worker.on('active', () => {
      if (drained.delete(name)) share();
    });
    return worker;
  };

  const stop = async (reason?: unknown): Promise<void> => {
    stopping.abort(reason);
    await Promise.all(Array.from(workers.values(), (worker) => worker.close()));
  };

  return {
    async add(indexes) {
      await noteQueues(redis, new Set(names.values()), Math.max(0, batch.expiresAtMs - Date.now()) + dayMs);
      for (const [name, of] of Map.groupBy(indexes, nameOf)) {
        const queue = queueOf(name);
        await queue.setGlobalConcurrency(batch.perHost);
        await queue.setGlobalRateLimit(1_000_000_000, 1000); // without one, the queue cannot be paused for a time
        for (let from = 0; from < of.length; from += chunk) {
          await queue.addBulk(of.slice(from, from + chunk).map((index) => jobOf(index)));
        }
      }
    },
    async count() {
      const states = ['wait', 'active', 'delayed'] as const;
      const counts = await Promise.all(
        [...new Set(names.values())].map((name) => queueOf(name).getJobCountByTypes(...states)),
      );
      return counts.reduce((sum, count) => sum + count, 0);
    },
    async absent(indexes) {
      const missing: number[] = [];
      for (let from = 0; from < indexes.length; from += chunk) {
        const some = indexes.slice(from, from + chunk);
        const found = await Promise.all(
          some.map((index) => redis.exists(`${keyPrefix}:${nameOf(index)}:${jobIdOf(index)}`)),
        );
        missing.push(...some.filter((_, at) => found[at] === 0));
      }
      return missing;
    },
    take(work) {
      for (const name of new Set(names.values())) workers.set(name, openWorker(name, work));
      share();
      for (const worker of workers.values()) worker.run().catch(reportError);
    },
    async pauseHost(host, forMs) {
      const name = names.get(host);
      if (name !== undefined) await queueOf(name).rateLimit(forMs);
    },
    async limit(to) {
      most = to;
      share();
      for (const worker of workers.values()) {
        if (to === 'none') await worker.pause(true);
        else await worker.resume();
      }
    },
    stop,
    async remove(isLeft) {
      const all = new Set(names.values());
      for (const name of all) await obliterate(queueOf(name));
      await redis.del(...Object.values(notesOf(batch.id)));
      if (isLeft) await noteQueues(redis, all, leftMs);
      else await redis.zrem(noted, ...all);
    },
    async [Symbol.asyncDispose]() {
      await stop();
      await Promise.all(Array.from(queues.values(), (queue) => queue.close()));
    },
  };
}

/** Queues, and when nobody needs them any more, by the clock of Redis: whoever should remove them may have been killed. */
const noted = `${keyPrefix}:fleet:queues`;
const dayMs = 24 * 60 * 60_000;
const leftMs = 60_000;

/** Where Redis has what happened to the images of a batch. */
function notesOf(id: string) {
  const of = (what: string): string => `${keyPrefix}:${what}:${id}`;
  return { runs: runsKey(id), lost: of('lost'), lossCounts: of('losses'), returned: of('returned') };
}

async function noteQueues(redis: Redis, names: ReadonlySet<string>, forMs: number): Promise<void> {
  const until = (await clockOf(redis)) + forMs / 1000;
  await redis.zadd(noted, ...[...names].flatMap((name) => [until, name]));
}

const clockOf = async (redis: Redis): Promise<number> => Number((await redis.time())[0]);

/** Removes queues that were left behind. */
export async function removeLeftQueues(redis: Redis): Promise<void> {
  const names = await redis.zrangebyscore(noted, 0, await clockOf(redis), 'LIMIT', 0, 100);
  if (names.length === 0) return;
  const { Queue } = await import('bullmq');
  for (const name of names) {
    const id = /^([0-9a-f]{32})\.[^:]{1,300}$/.exec(name)?.[1]; // anybody may have written it
    if (id !== undefined) {
      const queue = new Queue(name, { connection: redis, prefix: keyPrefix });
      await obliterate(queue);
      await queue.close();
      await redis.del(...Object.values(notesOf(id)));
    }
    await redis.zrem(noted, name);
  }
}

async function obliterate(queue: Queue): Promise<void> {
  await queue.obliterate({ force: true }).catch(reportError); // another worker removes it at this moment: BullMQ finds it half gone
}

function reportError(error: Error): void {
  debug(() => `queue: ${error.message}`);
}

/** The host that an image is asked for at first; an image name begins with its own. */
function hostOf(image: Pick<BatchImage, 'image' | 'type'> | undefined): string | undefined {
  if (!image) return undefined;
  const reference = parseReference(image.image, { type: image.type, directory: '/', isFile: () => false });
  switch (reference.kind) {
    case 'registry':
      return reference.host;
    case 'url':
      return URL.parse(reference.url)?.host;
    case 'name':
      return reference.name.split('/')[0];
    case 'file':
    case 'id':
      return undefined; // no batch has these
  }
}

/** The queues of a batch by host; the hosts with the fewest images share that of undefined. */
function queueNames({ id, images }: QueueSettings['batch']): ReadonlyMap<string | undefined, string> {
  const byHost = Map.groupBy(images, hostOf);
  const hosts = [...byHost].toSorted(
    ([a, some], [b, others]) => others.length - some.length || (String(a) < String(b) ? -1 : 1),
  );
  const names = hosts.map(([host], place) => {
    const isOwn = host !== undefined && (place < maxQueues - 1 || hosts.length <= maxQueues);
    return [host, isOwn ? `${id}.${encodeURIComponent(host)}` : `${id}.others`] as const;
  });
  return new Map(names);
}

function jobIdOf(index: number): string {
  return `image-${index}`;
}

function jobOf(index: number) {
  return { name: 'image', data: { v: fleetVersion, index }, opts: { jobId: jobIdOf(index) } };
}

/** Which image a job is, if it is one that was added here: Redis may have been written to by others. */
function indexOf({ id, data }: Job<unknown>): number | undefined {
  const { v, index } = (typeof data === 'object' && data !== null ? data : {}) as Readonly<Record<string, unknown>>;
  return v === fleetVersion && typeof index === 'number' && id === jobIdOf(index) ? index : undefined;
}
