import { setTimeout as sleep } from 'node:timers/promises';

import type { Redis } from 'ioredis';

import type { EventSink } from '../events.ts';
import type { Batch } from './batch.ts';
import {
  batchLocks,
  type BringContext,
  bringImage,
  findAndPush,
  type ImageReport,
  type ImageSharing,
  type ImageTools,
} from './bring.ts';
import { defaultTiming, type ImageQueues, openImageQueues, type QueueSettings } from './image-queues.ts';
import { keyPrefix, type NewsAbout } from './ledger.ts';
import type { QueueAddress } from './redis.ts';
import { type Brought, replicate, type ReplicateContext } from './replicate.ts';
import type { Workload } from './workload.ts';

/** What is known of batches and their results, as a worker needs it. */
export type WorkLedger = {
  /** The names of all batches that are there. */
  names(): Promise<readonly string[]>;
  /** The batch with a name, if it is there. @throws BATCH_INVALID if this worker must not work on it */
  batch(name: string): Promise<Batch | undefined>;
  isCancelled(batch: Batch): Promise<boolean>;
  /** Whether the batch is still in the queue. */
  isThere(batch: Batch): Promise<boolean>;
  /** Notes that this process begins with an image. @returns false if some worker has reported it */
  begin(batch: Batch, index: number, run: string): Promise<boolean>;
  /** The images that were reported. */
  reported(batch: Batch): Promise<ReadonlySet<number>>;
  countReported(batch: Batch): Promise<number>;
  /** Signs a report and adds it, unless some worker has reported the image. */
  report(batch: Batch, report: ImageReport): Promise<void>;
  /** Of a batch for everywhere: the images that other workers have brought and this one has not copied. */
  uncopied(batch: Batch): Promise<readonly Brought[]>;
  /** Signs a report of a copy in the store of this worker, and adds it. */
  reportCopy(batch: Batch, report: ImageReport): Promise<void>;
  /** Of a batch for everywhere: whether each worker that is there has a copy of each image that was brought. */
  isEverywhere(batch: Batch): Promise<boolean>;
  /** Called when nothing is left to do for a batch: its results are kept for a while. */
  complete(batch: Batch): Promise<void>;
  /** Called when this worker is done with a batch, however that ended. */
  forget(batch: Batch): void;
  /** Resolves when something may have changed, at the latest after a few seconds: results beside batches, or not. */
  news(signal: AbortSignal, about: NewsAbout): Promise<void>;
};

/** What a worker works with. */
export type WorkContext = {
  readonly redis: Redis;
  readonly address: QueueAddress;
  readonly ledger: WorkLedger;
  /** Opens what brings the images of a batch. */
  openTools(batch: Batch, onEvent: EventSink): Promise<ImageTools>;
  /** How the blobs of an image are shared with other workers. Default: not. */
  readonly openSharing?: ((batch: Batch) => Promise<(index: number) => ImageSharing>) | undefined;
  /** Where images may be pushed: `docker://HOST[/PREFIX]`. */
  readonly allowedTargets: readonly string[];
  /** Works on the batch of this name only, and ends with it. */
  readonly only?: string | undefined;
  readonly onWarning: (message: string) => void;
  readonly nowMs: () => number;
  /** How long this worker takes nothing when it cannot work, since its disk is full. Default half a minute. */
  readonly restMs?: number | undefined;
  /** How long the batch of `only` is waited for. Default an hour. */
  readonly absentMs?: number | undefined;
  /** How often images are looked for that are neither done nor in a queue. Default half a minute. */
  readonly reconcileMs?: number | undefined;
} & Pick<QueueSettings, 'workerRun' | 'concurrency' | 'timing'>;

/** How the work on a batch ended: `absent` if there is none, `gone` if the queue has it no longer, `stopped` with the worker. */
export type BatchEnd = 'complete' | 'cancelled' | 'expired' | 'gone' | 'absent' | 'stopped';

export type BatchContext = WorkContext & { readonly workload: Workload };

const defaultReconcileMs = 30_000;
/** Who fills the queues is taken for lost after this time without a sign of life. */
const fillMs = 15_000;
/** The state of a batch is not asked for more often. */
const lookMs = 500;
/** How many images are asked for in the store, or added to the queues, at a time. */
const chunk = 500;
const dayMs = 24 * 60 * 60_000;

/** Works on a batch until it has ended. */
export async function workOnBatch(context: BatchContext, batch: Batch, signal: AbortSignal): Promise<BatchEnd> {
  const { ledger, workload, nowMs, reconcileMs = defaultReconcileMs } = context;
  await using resources = new AsyncDisposableStack();
  resources.defer(() => ledger.forget(batch));
  const before = await endOf(context, batch);
  if (before !== undefined) return before;
  const tools = resources.use(await context.openTools(batch, pausing(workload)));
  const queues = resources.use(await openImageQueues({ ...context, batch }));
  resources.use(workload.follow(queues));
  const bringing: BringContext = {
    ...{ batch, tools, nowMs, locks: batchLocks(batch), suspects: workload.suspects },
    share: (await context.openSharing?.(batch)) ?? (() => ({ end: () => Promise.resolve() })),
    begin: (index) => ledger.begin(batch, index, context.workerRun),
    report: (report) => ledger.report(batch, report),
    onOwnFailure: (error) => workload.rest(error),
    onSuccess: () => workload.succeeded(),
  };
  if (batch.use === 'shard') await deliverStored(context, bringing, signal);
  queues.take((taken) => bringImage(bringing, taken));
  const copying = new AbortController();
  const either = AbortSignal.any([signal, copying.signal]);
  const copies = batch.use === 'everywhere' ? replicate(copyContext(context, bringing), either) : undefined;
  let fault: { readonly error: unknown } | undefined;
  copies?.catch((error: unknown) => {
    fault = { error };
    copying.abort();
  });
  resources.defer(async () => {
    copying.abort();
    await copies?.catch(() => undefined);
  });
  await fill(context, batch, queues, signal);

  const about = batch.use === 'everywhere' ? 'results' : 'batches';
  let nextMs = nowMs() + reconcileMs;
  for (;;) {
    if (signal.aborted) return 'stopped';
    if (fault) throw fault.error;
    const end = await endOf(context, batch);
    if (end !== undefined) {
      await queues.stop(`the batch is ${end}`);
      if (end !== 'expired') await queues.remove(end !== 'complete'); // that is so by this clock, which may be wrong
      return end;
    }
    if (nowMs() >= nextMs || (await queues.count()) === 0) {
      await reconcile(context, batch, queues, signal);
      nextMs = nowMs() + reconcileMs;
    }
    const waits = [ledger.news(either, about), sleep(lookMs, undefined, { signal: either })];
    await Promise.all(waits).catch(() => undefined); // what was aborted; and who asks next fails as well
  }
}

function copyContext(
  { ledger, nowMs, concurrency, timing = defaultTiming }: BatchContext,
  { batch, tools }: BringContext,
): ReplicateContext {
  return {
    ...{ batch, tools, nowMs, most: concurrency.images, retryMs: timing.retryMs },
    missing: () => ledger.uncopied(batch),
    report: (report) => ledger.reportCopy(batch, report),
    news: (signal) => ledger.news(signal, 'results'),
  };
}

async function endOf({ ledger, nowMs }: BatchContext, batch: Batch): Promise<BatchEnd | undefined> {
  if (await ledger.isCancelled(batch)) return 'cancelled';
  const isReported = (await ledger.countReported(batch)) >= batch.images.length;
  if (isReported && (batch.use === 'shard' || (await ledger.isEverywhere(batch)))) {
    await ledger.complete(batch);
    return 'complete';
  }
  if (!(await ledger.isThere(batch))) return 'gone';
  return nowMs() > batch.expiresAtMs ? 'expired' : undefined;
}

/** Has a host left alone by all workers for as long as it asks one of them to wait. */
function pausing(workload: Workload): EventSink {
  return (event) => {
    if (event.type !== 'retry' || (event.status !== 429 && event.status !== 503)) return;
    const host = URL.parse(event.url)?.host;
    if (host !== undefined) workload.pauseHost(hostOfServer(host), event.delayMs);
  };
}

/** The host in references of images that a server is of. */
function hostOfServer(host: string): string {
  return host === 'registry-1.docker.io' ? 'docker.io' : host;
}

/**
 * Delivers and reports what the store has, before this worker takes anything from the queues, and from the end of the list: others take
 * from its beginning. What cannot be pushed is left to the queues.
 */
async function deliverStored(context: BatchContext, bringing: BringContext, signal: AbortSignal): Promise<void> {
  const { ledger, nowMs, concurrency } = context;
  const { batch, tools, locks, report } = bringing;
  const { findStored } = tools;
  if (!findStored) return;
  const missing = (await missingOf(ledger, batch)).toReversed();
  let isStopped = false;
  const deliver = async (index: number): Promise<void> => {
    const startedAtMs = nowMs();
    if (batch.to !== undefined && (await ledger.reported(batch)).has(index)) return; // another worker was faster
    const own = { batch, locks, tools: { ...tools, findImages: findStored } };
    const found = await findAndPush(own, { index }, signal);
    const { status } = found.outcome;
    if (status === 'failed' && found.locked.length > 0) isStopped = true; // it was found, and not pushed
    if (status !== 'present') return; // or the lock wants another one
    await report({ index, ...found, tries: 1, startedAtMs, endedAtMs: nowMs() });
  };
  for (let from = 0; from < missing.length && !signal.aborted; from += chunk) {
    if (isStopped || (await ledger.isCancelled(batch))) return;
    const some = missing.slice(from, from + chunk);
    const { outcomes } = await findStored(
      some.flatMap((index) => batch.images[index] ?? []).map((image) => ({ ...image })),
      { signal },
    );
    const present = some.filter((_, at) => outcomes[at]?.status === 'present').values();
    const atOnce = batch.to === undefined ? 1 : concurrency.perHost;
    await Promise.all(
      Array.from({ length: atOnce }, async () => {
        for (const index of present) if (!isStopped && !signal.aborted) await deliver(index);
      }),
    );
  }
}

/** Puts all images into the queues, once: by one worker, or if that is lost by another one. */
async function fill(
  { redis, ledger, workerRun, nowMs }: BatchContext,
  batch: Batch,
  queues: ImageQueues,
  signal: AbortSignal,
): Promise<void> {
  const mark = `${keyPrefix}:filled:${batch.id}`;
  const lock = `${keyPrefix}:filling:${batch.id}`;
  while (!signal.aborted && (await redis.exists(mark)) === 0) {
    if ((await redis.set(lock, workerRun, 'PX', fillMs, 'NX')) === null) {
      await sleep(lookMs, undefined, { signal }).catch(() => undefined);
      continue;
    }
    const missing = await missingOf(ledger, batch);
    for (let from = 0; from < missing.length && !signal.aborted; from += chunk) {
      if (await ledger.isCancelled(batch)) return;
      await queues.add(missing.slice(from, from + chunk));
      await redis.pexpire(lock, fillMs);
    }
    if (signal.aborted) return;
    await redis.set(mark, workerRun, 'PX', Math.max(0, batch.expiresAtMs - nowMs()) + dayMs);
    await redis.del(lock);
  }
}

/** Adds images again that are neither reported nor in a queue. Of all workers one does it at a time. */
async function reconcile(
  { redis, ledger, workerRun }: BatchContext,
  batch: Batch,
  queues: ImageQueues,
  signal: AbortSignal,
): Promise<void> {
  const lock = `${keyPrefix}:reconciling:${batch.id}`;
  if ((await redis.set(lock, workerRun, 'PX', 4 * lookMs, 'NX')) === null) return;
  const missing = await missingOf(ledger, batch);
  if (missing.length <= (await queues.count())) return;
  const absent = await queues.absent(missing);
  if (!signal.aborted && absent.length > 0) await queues.add(absent);
}

async function missingOf(ledger: BatchContext['ledger'], batch: Batch): Promise<readonly number[]> {
  const reported = await ledger.reported(batch);
  return Array.from(batch.images.keys()).filter((index) => !reported.has(index));
}
