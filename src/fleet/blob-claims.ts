import { createHash } from 'node:crypto';

import type { Redis } from 'ioredis';

import { show } from '../image/show.ts';
import type { Sharing } from '../internal.ts';
import { setNewest } from '../system/bounded-map.ts';
import { debugLog } from '../system/debug.ts';
import { abortable, every } from '../system/single-flight.ts';
import { archiveMark, type BlobPlace, formatPlace, parsePlace, withScripts } from './claim-scripts.ts';
import { keyPrefix } from './ledger.ts';

const debug = debugLog('fleet');

/**
 * How the workers of a fleet agree who brings a blob. An image claims all blobs that it needs at once, and waits for those that an image
 * before it has claimed, until that one is delivered, given up, or its worker is lost: then the first of those that wait has it. Images
 * wait only for images that were there before them, so none of them waits for itself. An archive is claimed by its URL, while it is brought.
 */
export type Claims = AsyncDisposable & {
  /** @param reach - how others get what this worker has brought. Without it, it claims nothing, but may wait for others. */
  of(this: void, batch: ClaimedBatch, reach: 'served' | 'pushed' | undefined): BatchClaims;
  /** Called when this worker is done with a batch: Redis has its claims still. */
  forget(this: void, id: string): void;
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
  readonly sharing: Pick<Sharing, 'begin'>;
  /** Claims the archive of a URL. Resolves when no other worker brings it. */
  beginArchive(this: void, url: string, signal: AbortSignal): Promise<ArchiveClaim>;
  /** Called when the image is delivered or given up. It has to be called, and never fails. */
  end(this: void, isDelivered: boolean): Promise<void>;
};

/** It is given back before its image is delivered: who brings an archive waits for no other one meanwhile. */
type ArchiveClaim = {
  /** Whether another image of the batch had it. */
  readonly isGiven: boolean;
  /** Called when others can have the archive from here, or it is given up. */
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
  ...{ lifeMs: 10_000, renewMs: 3_000, missedMs: 5_000 },
  ...{ pollMs: 2_000, stuckMs: 30_000 },
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

/** One try to bring an image. */
type Job = {
  readonly batch: OpenBatch;
  readonly token: string;
  readonly blobs: Set<string>;
  /** Claimed, and not given back. */
  readonly archives: Set<string>;
  /** Blobs that are waited for. */
  readonly waits: Map<string, PromiseWithResolvers<void>>;
  /** What images before this one have brought. */
  readonly given: Set<string>;
  /** `host/repository` of the image. */
  name: string;
  /** When it began, or the last blob that it waited for came. */
  movedMs: number;
  mayHold: boolean;
  hasClaimed: boolean;
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
      if (!wait) job.waits.set(blob, Promise.withResolvers<void>());
      return;
    }
    const isGiven = answer !== undefined && answer !== 'go';
    if (isGiven) job.given.add(blob);
    const place = isGiven ? parsePlace(answer) : undefined;
    if (place) setNewest(job.batch.places, blob, place, maxPlaces);
    job.waits.delete(blob);
    job.movedMs = nowMs();
    wait?.resolve();
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

  const claim = async (job: Job, blobs: readonly string[], signal: AbortSignal): Promise<void> => {
    job.hasClaimed = true;
    await abortable(firstRenewal, signal);
    if (job.mayHold) await abortable(look(job, blobs), signal);
    if (job.waits.size > 0) listen();
  };

  const giveBack = async (job: Job, blobs: readonly string[], isDelivered: boolean, goesOn = false): Promise<void> => {
    const { reach } = job.batch;
    const place = isDelivered && reach ? formatPlace(reach, run, worker, job.name) : '';
    const send = async (from = 0): Promise<void> => {
      const next = from + chunk;
      const isLast = next >= blobs.length;
      await scripted.longshoreEnd(...commandOf(job, blobs.slice(from, next), place, goesOn || !isLast ? 1 : 0));
      if (!isLast) await send(next);
    };
    await orLater(send);
  };

  /** Has Redis take an end, or if it does not now, at the next renewal. */
  const orLater = async (send: () => Promise<unknown>): Promise<void> => {
    await send().catch((error: unknown) => {
      debug(() => `claims cannot be given back: ${show(String(error))}`);
      if (!isClosed) owed.add(send);
    });
  };

  const waitFor = async (job: Job, blob: string, signal: AbortSignal): Promise<void> => {
    const wait = job.waits.get(blob);
    if (wait) await abortable(wait.promise, signal);
  };

  const waiting = function* (): Generator<Job> {
    for (const { jobs } of batches.values()) for (const job of jobs) if (job.waits.size > 0) yield job;
  };

  const listen = (): void => {
    if (listener || isClosed) return;
    listener = redis.duplicate({ maxRetriesPerRequest: null, lazyConnect: false });
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
        const held = [...job.blobs, ...job.archives];
        if (!job.mayHold || held.length === 0 || job.waits.size > 0 || job.movedMs > stuckMs) continue;
        job.mayHold = false;
        await scripted.longshoreEnd(...commandOf(job, held, '', 1));
      }
    }
  };

  const onFailure = (error: unknown): void => debug(() => `claims: ${show(String(error))}`);
  const renewing = every(timing.renewMs, onFailure, async () => {
    if (batches.size === 0) return;
    await renew();
    for (const send of [...owed]) {
      owed.delete(send);
      await orLater(send);
    }
    await leaveStuck();
  });
  const polling = every(timing.pollMs, onFailure, async () => {
    await Promise.all(Array.from(waiting(), lookAgain));
  });

  function openBatch({ id, expiresAtMs }: ClaimedBatch, reach: OpenBatch['reach']): OpenBatch {
    const batch = { id, expiresAtMs, reach, jobs: new Set<Job>(), places: new Map<string, BlobPlace>() };
    batches.set(id, batch);
    return batch;
  }

  function openImage(batch: OpenBatch): ImageClaims {
    count += 1;
    const job: Job = {
      ...{ batch, token: `${run}/${count}`, name: '', movedMs: nowMs(), mayHold: true, hasClaimed: false },
      ...{ blobs: new Set(), archives: new Set(), waits: new Map(), given: new Set() },
      ...{ isLooking: false, looksAgain: false, isOver: false },
    };
    batch.jobs.add(job);
    return {
      sharing: {
        async begin({ reference: { host, repository } }, blobs, signal) {
          job.name = `${host}/${repository}`;
          const asked = [...new Set(blobs.map(({ digest }) => hexOf(digest)))];
          for (const blob of asked) job.blobs.add(blob);
          await claim(job, asked, signal);
          return { mayAsk: (digest, stop) => waitFor(job, hexOf(digest), stop) };
        },
      },
      async beginArchive(url, signal) {
        const name = `${archiveMark}${createHash('sha256').update(url).digest('hex')}`;
        job.archives.add(name);
        await claim(job, [name], signal);
        await waitFor(job, name, signal);
        return {
          isGiven: job.given.has(name),
          async end(isDelivered) {
            if (job.isOver || !job.archives.delete(name) || job.given.has(name)) return;
            await giveBack(job, [name], isDelivered, true);
          },
        };
      },
      async end(isDelivered) {
        batch.jobs.delete(job);
        job.isOver = true;
        for (const { resolve } of job.waits.values()) resolve();
        if (job.archives.size > 0) await giveBack(job, [...job.archives], false, true);
        if (job.hasClaimed) await giveBack(job, [...job.blobs], isDelivered);
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
    forget: (id) => void batches.delete(id),
    async [Symbol.asyncDispose]() {
      isClosed = true;
      await Promise.all([renewing.stop(), polling.stop()]);
      for (const job of waiting()) for (const { resolve } of job.waits.values()) resolve();
      listener?.disconnect();
      if (redis.status === 'ready') await redis.unlink(`${keys.run}${run}`).catch(() => undefined);
    },
  };
}

function hexOf(digest: string): string {
  return digest.replace(/^sha256:/, '');
}
