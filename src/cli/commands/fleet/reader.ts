import { cancellationKind } from '../../../fleet/accept.ts';
import { type Batch, batchKind } from '../../../fleet/batch.ts';
import { openDocument } from '../../../fleet/document.ts';
import { followResults, type FreshResult } from '../../../fleet/follow-results.ts';
import type { Ledger } from '../../../fleet/ledger.ts';
import { isEverywhere, openPresences, type Presence, type Result, resultField } from '../../../fleet/result.ts';
import { type AcceptedKeys, ImageError, isImageError, show } from '../../../internal.ts';
import type { Io } from '../../command.ts';
import type { CommandLine } from '../../options/command-line.ts';
import type { BatchState } from './outcomes.ts';
import { openQueue, readAccepted } from './queue.ts';
import { parseBatchName } from './submit.ts';

/** Whose word is taken for batches and for results. */
type Believed = { readonly batches: AcceptedKeys | 'anybody'; readonly workers: AcceptedKeys | 'anybody' };

type ReaderRequest = {
  readonly io: Io;
  readonly line: CommandLine;
  readonly onWarning: (message: string) => void;
};

export type FleetReader = {
  /** The names of all batches that are in the queue. */
  names(): Promise<readonly string[]>;
  /** @throws BATCH_NOT_FOUND, BATCH_INVALID */
  open(name: string): Promise<Watched>;
  /** The workers that are there. */
  workers(): Promise<readonly Presence[]>;
};

/** A batch, seen by who does not work on it. */
export type Watched = {
  readonly batch: Batch;
  /** As of the results that `fresh` has returned. */
  state(): Promise<BatchState>;
  /** Results that were not returned before: of each image the first one, and of each copy of it in another store. */
  fresh(): Promise<readonly FreshResult[]>;
  /** Resolves when something may have changed, at the latest after a few seconds. */
  news(signal: AbortSignal): Promise<void>;
};

/** Opens the queue for a command that only looks; `resources` closes it. @throws USAGE, QUEUE_UNAVAILABLE */
export async function openReader(
  resources: AsyncDisposableStack,
  { io, line, onWarning }: ReaderRequest,
): Promise<FleetReader> {
  const [batches, workers] = [await readAccepted(line, 'accept'), await readAccepted(line, 'accept-worker')];
  const { ledger } = await openQueue(resources, { io, line, isPatient: true, onWarning });
  const missing = [...(batches ? [] : ['--accept']), ...(workers ? [] : ['--accept-worker'])];
  if (missing.length > 0)
    onWarning(
      `without ${missing.join(' and ')} the word of everybody who can write to the queue is taken for what follows`,
    );
  const believed = { batches: batches ?? 'anybody', workers: workers ?? 'anybody' } as const;
  const context = { ledger, believed, onWarning };
  return {
    names: () => ledger.names(),
    async open(text) {
      const name = parseBatchName(text, 'NAME');
      const envelope = await ledger.envelope(name);
      if (envelope !== undefined) return watch(context, name, envelope);
      throw new ImageError('BATCH_NOT_FOUND', `the queue has no batch ${name}`, { batch: name });
    },
    workers: () => readWorkers(context),
  };
}

type ReaderContext = {
  readonly ledger: Ledger;
  readonly believed: Believed;
  readonly onWarning: (message: string) => void;
};

/** @returns undefined if a document is refused @param onRefused - is told why */
async function believe<T>(open: () => Promise<T>, onRefused: (why: string) => void): Promise<T | undefined> {
  try {
    return await open();
  } catch (error) {
    if (!isImageError(error)) throw error;
    onRefused(error.message);
    return undefined;
  }
}

async function readWorkers({ ledger, believed, onWarning }: ReaderContext): Promise<readonly Presence[]> {
  const envelopes = await ledger.workers();
  return openPresences(envelopes, believed.workers, Date.now(), (why) => onWarning(`a worker is not believed: ${why}`));
}

async function watch(context: ReaderContext, name: string, envelope: string): Promise<Watched> {
  const { ledger, believed, onWarning } = context;
  const { value: batch, keyId } = await openDocument(batchKind, envelope, believed.batches);
  const refuse = (message: string) => new ImageError('BATCH_INVALID', message, { why: 'content', batch: name });
  if (batch.name !== name) throw refuse(`the batch ${batch.name} is in the queue under another name, ${name}`);
  const { id } = batch;
  const withTimes = createTimes(batch, onWarning);
  /** The fields of results that were returned. */
  const returned = new Set<string>();
  /** The fields of results that count; the workers that brought images; and the images that failed, which nobody copies. */
  const [known, brought, failed] = [new Set<string>(), new Map<number, Pick<Result, 'worker'>>(), new Set<number>()];

  const follower = followResults({
    ...{ ledger, batch, keys: believed.workers },
    onDoubted: (field, why) => onWarning(`the result ${show(field, 128)} of the batch ${name} is not believed: ${why}`),
    onCounted({ field, index, worker, isCopy, isFailed }) {
      known.add(field);
      if (!isCopy && isFailed) failed.add(index);
      else if (!isCopy) brought.set(index, { worker });
    },
    onStartOver() {
      for (const all of [known, brought, failed]) all.clear();
    },
  });

  const isCancelled = async (): Promise<boolean> => {
    const cancellation = await ledger.cancellation(id);
    if (cancellation === undefined) return false;
    const opened = await believe(
      () => openDocument(cancellationKind, cancellation, believed.batches),
      (why) => onWarning(`a cancellation of the batch ${name} is not believed: ${why}`),
    );
    return opened?.keyId === keyId && opened.value.id === id && opened.value.name === name;
  };

  return {
    batch,
    async state() {
      const areAllKnown = brought.size + failed.size >= batch.images.length;
      const isThere = async () => isEverywhere(batch, brought, known, await readWorkers(context));
      if (areAllKnown && (batch.use === 'shard' || (await isThere()))) return 'complete';
      if (await isCancelled()) return 'cancelled';
      return batch.expiresAtMs <= Date.now() ? 'expired' : 'running';
    },
    async fresh() {
      const found = await follower.fresh();
      const others = found.filter((one) => !returned.has(resultField(one, one.isCopy)));
      for (const one of others) returned.add(resultField(one, one.isCopy));
      return others.map((one) => ({ ...one, ...withTimes(one) }));
    },
    news: (signal) => ledger.news(signal, 'results').catch(() => undefined), // the caller looks at its signal
  };
}

/** Clocks of two machines may differ by this much. */
const skewMs = 5 * 60_000;

/** The times of results, which are between the creation of the batch and now: a worker whose clock is wrong tells others. */
function createTimes({ createdAtMs }: Batch, onWarning: (message: string) => void): (result: Result) => Result {
  const warned = new Set<string>();
  return (result) => {
    const { worker, startedAtMs, endedAtMs } = result;
    const nowMs = Math.max(Date.now(), createdAtMs);
    const isWrong = endedAtMs > nowMs + skewMs || startedAtMs < createdAtMs - skewMs;
    if (isWrong && !warned.has(worker)) {
      warned.add(worker);
      const [from, to, now] = [startedAtMs, endedAtMs, nowMs].map((ms) => new Date(ms).toISOString());
      onWarning(
        `the clock of ${worker} is wrong: it says ${from} to ${to} of an image of this batch, and now is ${now}`,
      );
    }
    const within = (ms: number): number => Math.min(Math.max(ms, createdAtMs), nowMs);
    return { ...result, startedAtMs: within(startedAtMs), endedAtMs: within(endedAtMs) };
  };
}
