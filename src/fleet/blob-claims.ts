import type { Redis } from 'ioredis';

import { show } from '../image/show.ts';
import type { Sharing } from '../internal.ts';
import { setNewest } from '../system/bounded-map.ts';
import { debugLog } from '../system/debug.ts';
import { abortable } from '../system/single-flight.ts';
import { type BlobPlace, formatPlace, parsePlace, withScripts } from './claim-scripts.ts';
import { keyPrefix } from './ledger.ts';

const debug = debugLog('fleet');

/**
 * How the workers of a fleet agree who brings a blob. An image claims all blobs that it needs at once, and waits for those that an image
 * before it has claimed, until that one is delivered, given up, or its worker is lost: then the first of those that wait has it. Images
 * wait only for images that were there before them, so none of them waits for itself.
 */
export type Claims = AsyncDisposable & {
  /** @param reach - how others get what this worker has brought. Without it, it claims nothing, but may wait for others. */
  of(this: void, batch: ClaimedBatch, reach: 'served' | 'pushed' | undefined): BatchClaims;
};

export type ClaimedBatch = {
  readonly id: string;
  readonly expiresAtMs: number;
};

export type BatchClaims = {
  /** The claims of one try to bring an image. */
  image(this: void): ImageClaims;
  /** Where a blob is that some worker has delivered, if an image here had to know. */
  placeOf(this: void, digest: string): BlobPlace | undefined;
  /** Removes what Redis has of them, when the batch has ended. */
  remove(this: void): Promise<void>;
};

type ImageClaims = {
  readonly sharing: Sharing;
  /** Called when the image is delivered or given up. It has to be called, and never fails. */
  end(this: void, isDelivered: boolean): Promise<void>;
};

export type ClaimsOptions = {
  readonly redis: Redis;
  /** The name of this worker, under which its address is known. */
  readonly worker: string;
  /** Of this process, and of no other: letters, digits and `-`. */
  readonly run: string;
  /** When something last happened in this process: a byte came or went. Absent: that is not known. */
  readonly movedAtMs?: () => number;
  readonly nowMs: () => number;
  readonly timing?: ClaimsTiming;
};

export type ClaimsTiming = {
  /** A worker that does not renew its key for so long may be lost. */
  readonly lifeMs: number;
  readonly renewMs: number;
  /** It is lost once others have missed it for so long: when Redis comes back, all keys are old. */
  readonly missedMs: number;
  /** How often is looked whether a blob is free, should news have been lost. */
  readonly pollMs: number;
  /** A worker that nothing moves in leaves its blobs to others. */
  readonly stuckMs: number;
};

const defaultTiming: ClaimsTiming = Object.freeze({
  lifeMs: 10_000,
  renewMs: 3_000,
  missedMs: 5_000,
  pollMs: 2_000,
  stuckMs: 30_000,
});

const keys = {
  claims: (batch: string) => `${keyPrefix}:fleet:claims:${batch}`,
  run: `${keyPrefix}:fleet:run:`,
  news: `${keyPrefix}:fleet:claims-news`,
};

/** Claims are kept for so long after a batch has expired: clocks may differ. */
const spareMs = 3_600_000;
/** So many places of blobs are remembered. */
const maxPlaces = 20_000;
/** Blobs of an image that are claimed by one call. */
const chunk = 2_000;

/** A blob that is waited for. */
type Wait = { readonly over: PromiseWithResolvers<void> };

/** One try to bring an image. */
type Job = {
  readonly batch: OpenBatch;
  readonly token: string;
  readonly blobs: Set<string>;
  readonly waits: Map<string, Wait>;
  /** `host/repository` of the image. */
  name: string;
  /** When it began, or the last blob that it waited for came. */
  movedMs: number;
  mayHold: boolean;
  isLooking: boolean;
  looksAgain: boolean;
  isOver: boolean;
};

type OpenBatch = ClaimedBatch & {
  readonly reach: 'served' | 'pushed' | undefined;
  readonly jobs: Set<Job>;
  readonly places: Map<string, BlobPlace>;
};

/** Opens the claims of this process. It has one connection more for news, once it has waited for a blob. */
export function openClaims({
  worker,
  run,
  nowMs,
  movedAtMs,
  timing = defaultTiming,
  ...options
}: ClaimsOptions): Claims {
  const { redis } = options;
  const scripted = withScripts(redis);
  const batches = new Map<string, OpenBatch>();
  /** Ends that Redis has not taken yet. */
  const owed = new Set<() => Promise<unknown>>();
  let listener: Redis | undefined;
  let firstRenewal = Promise.resolve();
  let count = 0;
  let isClosed = false;

  const commandOf = ({ batch, token }: Job, blobs: readonly string[], ...rest: readonly (string | number)[]) => {
    const ttlMs = Math.max(1, batch.expiresAtMs - nowMs()) + spareMs;
    const shared = [keys.run, keys.news, batch.id, timing.missedMs, ttlMs, run, token, batch.reach ? 1 : 0];
    return [keys.claims(batch.id), ...shared, ...rest, ...blobs] as const;
  };

  /** Claims blobs, or looks what has become of them. If Redis refuses that, they are brought without it. */
  const look = async (job: Job, blobs: readonly string[]): Promise<void> => {
    for (let from = 0; from < blobs.length && !job.isOver; from += chunk) {
      const some = blobs.slice(from, from + chunk);
      const answers = await scripted.longshoreClaim(...commandOf(job, some)).catch((error: unknown) => {
        debug(() => `blobs cannot be claimed: ${show(String(error))}`);
        return [];
      });
      for (const [at, blob] of some.entries()) settle(job, blob, answers[at]);
    }
  };

  const settle = (job: Job, blob: string, answer: string | undefined): void => {
    const wait = job.waits.get(blob);
    if (answer === 'wait') {
      if (!wait) job.waits.set(blob, { over: Promise.withResolvers<void>() });
      return;
    }
    const place = answer === undefined || answer === 'go' ? undefined : parsePlace(answer);
    if (place) setNewest(job.batch.places, blob, place, maxPlaces);
    job.waits.delete(blob);
    job.movedMs = nowMs();
    wait?.over.resolve();
  };

  /** Looks again what has become of what a job waits for, once at a time. */
  const lookAgain = async (job: Job): Promise<void> => {
    job.looksAgain = true;
    if (job.isLooking) return;
    job.isLooking = true;
    try {
      while (job.looksAgain && job.waits.size > 0) {
        job.looksAgain = false;
        await look(job, [...job.waits.keys()]);
      }
    } finally {
      job.isLooking = false;
    }
  };

  const waiting = function* (): Generator<Job> {
    for (const { jobs } of batches.values()) for (const job of jobs) if (job.waits.size > 0) yield job;
  };

  const listen = (): void => {
    if (listener || isClosed) return;
    listener = redis.duplicate({
      maxRetriesPerRequest: null,
      lazyConnect: false,
    });
    listener.on('error', () => undefined); // the first connection tells
    listener.on('message', (_channel: string, message: string) => {
      const [id = '', ...blobs] = message.split(' ');
      for (const job of batches.get(id)?.jobs ?? []) if (blobs.some((blob) => job.waits.has(blob))) void lookAgain(job);
    });
    listener.subscribe(keys.news).catch(() => undefined); // looking now and then does as well
  };

  const renew = async (): Promise<void> => {
    await redis.multi().set(`${keys.run}${run}`, '1', 'PX', timing.lifeMs).del(`${keys.run}${run}:gone`).exec();
  };

  /** Leaves blobs to others when nothing moves here any more. To bring them all the same does no harm. */
  const leaveStuck = async (): Promise<void> => {
    if (!movedAtMs) return;
    const stuckMs = nowMs() - timing.stuckMs;
    if (movedAtMs() > stuckMs) return;
    for (const { jobs } of batches.values()) {
      for (const job of jobs) {
        // what it waits for moves
        if (!job.mayHold || job.blobs.size === 0 || job.waits.size > 0 || job.movedMs > stuckMs) continue;
        job.mayHold = false;
        await scripted.longshoreEnd(...commandOf(job, [...job.blobs], '', 1));
      }
    }
  };

  const every = (ms: number, work: () => Promise<unknown>): { stop: () => Promise<void> } => {
    let running: Promise<void> | undefined;
    const timer = setInterval(() => {
      running ??= work()
        .then(
          () => undefined,
          (error: unknown) => debug(() => `claims: ${show(String(error))}`),
        )
        .finally(() => void (running = undefined));
    }, ms);
    return {
      async stop() {
        clearInterval(timer);
        await Promise.race([running, new Promise((resolve) => setTimeout(resolve, 100))]); // Redis may be away
      },
    };
  };

  const renewing = every(timing.renewMs, async () => {
    if (batches.size === 0) return;
    await renew();
    for (const end of [...owed]) {
      await end();
      owed.delete(end);
    }
    await leaveStuck();
  });
  const polling = every(timing.pollMs, async () => {
    await Promise.all(Array.from(waiting(), lookAgain));
  });

  function openBatch({ id, expiresAtMs }: ClaimedBatch, reach: OpenBatch['reach']): OpenBatch {
    const batch = {
      id,
      expiresAtMs,
      reach,
      jobs: new Set<Job>(),
      places: new Map<string, BlobPlace>(),
    };
    batches.set(id, batch);
    return batch;
  }

  function openImage(batch: OpenBatch): ImageClaims {
    count += 1;
    const job: Job = {
      ...{
        batch,
        token: `${run}/${count}`,
        blobs: new Set(),
        waits: new Map(),
        name: '',
      },
      ...{
        movedMs: nowMs(),
        mayHold: true,
        isLooking: false,
        looksAgain: false,
        isOver: false,
      },
    };
    batch.jobs.add(job);
    return {
      sharing: {
        async begin({ reference: { host, repository } }, blobs, signal) {
          job.name = `${host}/${repository}`;
          const asked = [...new Set(blobs.map(({ digest }) => hexOf(digest)))];
          for (const blob of asked) job.blobs.add(blob);
          await abortable(firstRenewal, signal);
          if (job.mayHold) await abortable(look(job, asked), signal);
          if (job.waits.size > 0) listen();
          return {
            async mayAsk(digest, stop) {
              const wait = job.waits.get(hexOf(digest));
              if (wait) await abortable(wait.over.promise, stop);
            },
          };
        },
      },
      async end(isDelivered) {
        batch.jobs.delete(job);
        job.isOver = true;
        for (const { over } of job.waits.values()) over.resolve();
        if (job.blobs.size === 0) return;
        const blobs = [...job.blobs];
        const place = isDelivered && batch.reach ? formatPlace(batch.reach, run, worker, job.name) : '';
        const send = async (): Promise<void> => {
          for (let from = 0; from < blobs.length; from += chunk) {
            const isLast = from + chunk >= blobs.length;
            await scripted.longshoreEnd(...commandOf(job, blobs.slice(from, from + chunk), place, isLast ? 0 : 1));
          }
        };
        await send().catch((error: unknown) => {
          debug(() => `claims cannot be given back: ${show(String(error))}`);
          if (!isClosed) owed.add(send);
        });
      },
    };
  }

  return {
    of(asked, reach) {
      const batch = batches.get(asked.id) ?? openBatch(asked, reach);
      if (batches.size === 1) firstRenewal = renew().catch(() => undefined);
      return {
        image: () => openImage(batch),
        placeOf: (digest) => batch.places.get(hexOf(digest)),
        async remove() {
          batches.delete(batch.id);
          const claims = keys.claims(batch.id);
          await redis.unlink(claims, `${claims}:jobs`, `${claims}:places`);
        },
      };
    },
    async [Symbol.asyncDispose]() {
      isClosed = true;
      await Promise.all([renewing.stop(), polling.stop()]);
      for (const job of waiting()) for (const { over } of job.waits.values()) over.resolve();
      listener?.disconnect();
      if (redis.status === 'ready') await redis.unlink(`${keys.run}${run}`).catch(() => undefined);
    },
  };
}

function hexOf(digest: string): string {
  return digest.replace(/^sha256:/, '');
}
