import { hasCode, ImageError, isImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import { parseDestination } from '../internal.ts';
import { setNewest } from '../system/bounded-map.ts';
import { abortable } from '../system/single-flight.ts';
import type { Batch } from './batch.ts';
import { removeLeftQueues } from './image-queues.ts';
import { queueError } from './redis.ts';
import { type BatchEnd, type WorkContext, workOnBatch } from './work-on-batch.ts';
import { createWorkload, type Workload } from './workload.ts';

/** How long a batch that was refused is left alone: the clock may have been wrong. */
const refusedMs = 60_000;
/** So many of them are remembered: whoever writes to the queue does not decide how much memory that takes. */
const mostRefused = 1000;

/**
 * Works on batches as they come, until the signal, or until the one that is asked for has ended. What runs when it is stopped goes back
 * to the queues.
 *
 * @returns how the batch that is asked for ended @throws BATCH_INVALID, BATCH_NOT_FOUND, TARGET_REFUSED, QUEUE_UNAVAILABLE for the one that
 * is asked for; or what keeps this worker from working
 */
export async function work(context: WorkContext, signal: AbortSignal): Promise<BatchEnd> {
  const { ledger, only, nowMs } = context;
  import('bullmq').catch(() => undefined); // loads while nothing is to be done; who needs it is told if that fails
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const running = new Map<string, Promise<BatchEnd>>();
  const refused = createRefused(context);
  const ended = new Set<string>();
  let asked: BatchEnd = 'stopped';
  let failure: { readonly error: unknown } | undefined;
  const fail = (error: unknown): void => {
    if (!either.aborted) failure = { error };
    stop.abort();
  };
  const workload = createWorkload({ ...context, onUnfit: fail });
  const absence = createAbsence(context);
  const removeLeft = everyMinute(nowMs, () => removeLeftQueues(context.redis));

  const begin = async (name: string): Promise<void> => {
    const started = startBatch(context, workload, name, either);
    running.set(name, started);
    try {
      const end = await started;
      if (end === 'absent') return absence.note();
      ended.add(name);
      if (only === undefined) {
        if (end === 'gone') context.onWarning(goneBatch(name).message);
        return;
      }
      if (end === 'gone') throw goneBatch(name);
      asked = end;
      stop.abort();
    } catch (thrown) {
      const error = isRefusedByRedis(thrown) ? queueError(thrown, context.address) : thrown;
      if (only !== undefined || !isImageError(error)) return fail(error);
      refused.note(name, error);
    } finally {
      running.delete(name);
    }
  };
  try {
    while (!either.aborted) {
      const listed = new Set(await abortable(ledger.names(), either));
      for (const name of ended) if (!listed.has(name)) ended.delete(name); // another batch may get it
      const wanted = only === undefined ? listed : [only];
      for (const name of wanted) {
        if (!running.has(name) && !ended.has(name) && !refused.has(name, nowMs())) void begin(name);
      }
      removeLeft();
      await ledger.news(either, 'batches');
    }
  } catch (error) {
    if (!either.aborted) throw error;
  } finally {
    stop.abort();
    await Promise.allSettled(running.values());
  }
  if (failure) throw failure.error;
  return asked;
}

async function startBatch(
  context: WorkContext,
  workload: Workload,
  name: string,
  signal: AbortSignal,
): Promise<BatchEnd> {
  const batch = await context.ledger.batch(name).catch((error: unknown) => {
    if (context.only !== undefined && hasEnded(error)) return 'complete' as const; // what asked for it was started again
    throw error;
  });
  if (batch === undefined) return 'absent';
  if (batch === 'complete') return batch;
  requireAllowed(batch, context.allowedTargets);
  return workOnBatch({ ...context, workload }, batch, signal);
}

function goneBatch(batch: string): ImageError<'BATCH_NOT_FOUND'> {
  const message = `the queue has no batch ${show(batch)} any more: what is left of it is not brought`;
  return new ImageError('BATCH_NOT_FOUND', message, { batch });
}

const defaultAbsentMs = 60 * 60_000;

/** Who asks for a batch may begin before it is submitted; but one that has gone, or has another name, does not come. */
function createAbsence({ only = '', onWarning, nowMs, absentMs = defaultAbsentMs }: WorkContext) {
  const sinceMs = nowMs();
  let isSaid = false;
  return {
    /** @throws BATCH_NOT_FOUND when it was waited for long enough */
    note(): void {
      const time = `${Math.round(absentMs / 60_000)} min`;
      if (nowMs() - sinceMs >= absentMs)
        throw new ImageError('BATCH_NOT_FOUND', `the queue has had no batch ${show(only)} for ${time}`, {
          batch: only,
        });
      if (!isSaid) onWarning(`the queue has no batch ${show(only)} yet: it is waited for, for ${time} at most`);
      isSaid = true;
    },
  };
}

/** What is returned does a thing at the first call, and then once a minute. If it fails, it is done the next time. */
function everyMinute(nowMs: () => number, work: () => Promise<void>): () => void {
  let nextMs = -Infinity;
  return () => {
    if (nowMs() < nextMs) return;
    nextMs = nowMs() + 60_000;
    work().catch(() => undefined);
  };
}

/** Anybody may have put something else where a queue has its own. */
function isRefusedByRedis(error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError';
}

function hasEnded(error: unknown): boolean {
  return hasCode(error, 'BATCH_INVALID') && error.details.why === 'ended';
}

/** Batches that this worker leaves to others. Why is said once. */
function createRefused({ onWarning, nowMs }: Pick<WorkContext, 'onWarning' | 'nowMs'>) {
  const refused = new Map<string, { readonly why: string; readonly untilMs: number }>();
  return {
    has: (name: string, now: number) => (refused.get(name)?.untilMs ?? 0) > now,
    note(name: string, error: ImageError): void {
      const why = hasCode(error, 'BATCH_INVALID') ? error.details.why : error.message; // without the time, which goes on
      if (refused.get(name)?.why !== why) onWarning(`the batch ${show(name)} is left to others: ${error.message}`);
      setNewest(refused, name, { why, untilMs: nowMs() + refusedMs }, mostRefused);
    },
  };
}

/** A target is allowed if it is one of those that are, or below one. @throws TARGET_REFUSED */
function requireAllowed({ name, to }: Batch, allowed: readonly string[]): void {
  if (to === undefined || allowed.some((one) => isWithin(to, one))) return;
  throw new ImageError('TARGET_REFUSED', `this worker may not push to ${show(to)}`, { target: to, batch: name });
}

function isWithin(target: string, allowed: string): boolean {
  const [asked, permitted] = [parseDestination(target, 'to'), parseDestination(allowed, 'allow-to')];
  if (asked.host !== permitted.host) return false;
  return permitted.prefix === '' || `${asked.prefix}/`.startsWith(`${permitted.prefix}/`);
}
