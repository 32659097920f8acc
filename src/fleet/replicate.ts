import { setTimeout as sleep } from 'node:timers/promises';

import type { Digest } from '../image/digest.ts';
import type { LockedImage } from '../internal.ts';
import type { Batch } from './batch.ts';
import { findOne, type ImageReport, type ImageSharing, type ImageTools, mayMend } from './bring.ts';
import { maxTries } from './image-queues.ts';

/** So many images are taken from the list of all at a time. */
const atATime = 500;

/** An image that another worker has brought, and the names of the workers that have it. */
export type Brought = {
  readonly index: number;
  readonly locked: ImageReport['locked'];
  readonly validators?: ImageReport['validators'];
  readonly workers: readonly string[];
};

export type ReplicateContext = {
  readonly batch: Batch;
  readonly tools: Pick<ImageTools, 'findImages' | 'findStored' | 'copying' | 'noteValidators'>;
  /** Images that other workers have brought, and of which this one has neither a copy nor a reason why not. */
  missing(): Promise<readonly Brought[]>;
  /** Says that this worker has a copy, or why it has none. */
  report(this: void, report: ImageReport): Promise<void>;
  /** Resolves when something may have changed, at the latest after a few seconds. */
  news(signal: AbortSignal): Promise<void>;
  /** How many images are copied at once. */
  readonly most: number;
  /** Before a copy that failed is tried again; doubled each time. */
  readonly retryMs: number;
  readonly nowMs: () => number;
};

/**
 * Copies into the store of this worker what other workers bring: exactly these images, from whoever has their blobs. It goes on until the
 * signal, since more may come.
 */
export async function replicate(context: ReplicateContext, signal: AbortSignal): Promise<void> {
  const { nowMs, most } = context;
  const running = new Map<number, Promise<void>>();
  const failed = new Map<number, { readonly tries: number; readonly notBeforeMs: number }>();

  const copy = async (brought: Brought): Promise<void> => {
    const { index } = brought;
    const tries = (failed.get(index)?.tries ?? 0) + 1;
    const isDone = await copyOne(context, brought, tries, signal);
    if (isDone) failed.delete(index);
    else failed.set(index, { tries, notBeforeMs: nowMs() + context.retryMs * 2 ** (tries - 1) });
  };
  const isDue = ({ index }: Brought): boolean =>
    !running.has(index) && (failed.get(index)?.notBeforeMs ?? 0) <= nowMs();
  let due: Brought[] = [];
  try {
    while (!signal.aborted) {
      if (due.length === 0) due = (await context.missing()).filter(isDue).slice(0, atATime);
      for (const brought of due.splice(0, Math.max(0, most - running.size))) {
        const { index } = brought;
        running.set(
          index,
          copy(brought).finally(() => running.delete(index)),
        );
      }
      const isFull = running.size >= most;
      await Promise.race([...running.values(), isFull ? sleep(1000, undefined, { signal }) : context.news(signal)]);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    await Promise.allSettled(running.values());
  }
}

/** @returns whether it need not be tried again */
async function copyOne(
  { batch, tools, report, nowMs }: ReplicateContext,
  { index, locked, validators, workers }: Brought,
  tries: number,
  signal: AbortSignal,
): Promise<boolean> {
  const startedAtMs = nowMs();
  const images = new Map(locked);
  const documents = locked.flatMap(([, image]) => digestsOf(image));
  const isOfRegistry = batch.images[index]?.type === 'docker';
  const copyBy = async (shared: ImageSharing | undefined) => {
    let isDelivered = false;
    try {
      const one = { index, sharing: shared?.sharing, lock: { frozen: false, images }, signal };
      // an archive that is here already is not brought for what else this worker would keep of it
      const stored = !isOfRegistry && tools.findStored ? await findOne(tools.findStored, batch, one) : undefined;
      const copied = stored && !stored.outcome.error ? stored : await findOne(tools.findImages, batch, one);
      isDelivered = copied.outcome.status === 'fetched' || copied.outcome.status === 'present';
      return copied;
    } finally {
      await shared?.end(isDelivered);
    }
  };
  const fromWorkers = await tools.copying?.fromWorkers(workers, documents);
  let found = tools.copying && !fromWorkers ? undefined : await copyBy(fromWorkers);
  const isLeft = found === undefined || (isOfRegistry && found.outcome.status === 'failed');
  if (tools.copying && isLeft && !signal.aborted) found = await copyBy(tools.copying.fromAnywhere());
  if (!found) return true;
  const { status, error } = found.outcome;
  if (status === 'cancelled' || signal.aborted) return true;
  if (error && tries < maxTries && mayMend(error)) return false;
  if (!error && validators) await tools.noteValidators?.(validators);
  await report({ index, ...found, tries, startedAtMs, endedAtMs: nowMs() });
  return true;
}

/** The documents by which an image of a registry is found. */
function digestsOf({ digest, platforms = {} }: LockedImage): readonly Digest[] {
  return [...(digest === undefined ? [] : [digest]), ...Object.values(platforms)];
}
