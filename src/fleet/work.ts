import { hasCode, ImageError, isImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import { parseDestination } from '../internal.ts';
import { abortable } from '../system/single-flight.ts';
import type { Batch } from './batch.ts';
import { type BatchEnd, type WorkContext, workOnBatch } from './work-on-batch.ts';
import { createWorkload, type Workload } from './workload.ts';

/** How long a batch that was refused is left alone: the clock may have been wrong. */
const refusedMs = 60_000;

/**
 * Works on batches as they come, until the signal, or until the one that is asked for has ended. What runs when it is stopped goes back
 * to the queues.
 *
 * @returns how the batch that is asked for ended @throws BATCH_INVALID, TARGET_REFUSED for the one that is asked for
 */
export async function work(context: WorkContext, signal: AbortSignal): Promise<BatchEnd> {
  const { ledger, only, nowMs } = context;
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const workload = createWorkload(context);
  const running = new Map<string, Promise<BatchEnd>>();
  const refused = createRefused(context);
  const ended = new Set<string>();
  const failed = Promise.withResolvers<never>();
  let asked: BatchEnd = 'stopped';
  failed.promise.catch(() => undefined); // also when nobody waits for it any more

  const begin = async (name: string): Promise<void> => {
    const started = startBatch(context, workload, name, either);
    running.set(name, started);
    try {
      const end = await started;
      if (end === 'absent') return;
      ended.add(name);
      if (only === undefined) return;
      asked = end;
      stop.abort();
    } catch (error) {
      if (only !== undefined || !isImageError(error)) return failed.reject(error);
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
      await Promise.race([failed.promise, ledger.news(either, 'batches')]);
    }
  } catch (error) {
    if (!either.aborted) throw error;
  } finally {
    stop.abort();
    await Promise.allSettled(running.values());
  }
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
      refused.set(name, { why, untilMs: nowMs() + refusedMs });
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
