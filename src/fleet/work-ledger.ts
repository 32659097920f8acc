import { show } from '../image/show.ts';
import type { AcceptedKeys, SigningKey } from '../internal.ts';
import { acceptBatch, isCancellationOf } from './accept.ts';
import type { Batch } from './batch.ts';
import { batchLocks, type ImageReport } from './bring.ts';
import { type CountedResult, followResults, type ResultFollower } from './follow-results.ts';
import type { Ledger } from './ledger.ts';
import { isEverywhere, openPresences, resultField, signResult } from './result.ts';
import type { UsedBatches } from './used-batches.ts';
import type { WorkLedger } from './work-on-batch.ts';

export type WorkLedgerOptions = {
  readonly ledger: Ledger;
  /** The name of this worker. */
  readonly worker: string;
  /** It signs what this worker reports. */
  readonly key: SigningKey;
  /** Whose batches are worked on. */
  readonly batches: AcceptedKeys;
  /** Whose reports count beside those of this worker. `anybody`: who can write to the queue can have images left out in any case. */
  readonly workers: AcceptedKeys | 'anybody';
  /** Which batches have ended here. */
  readonly used: UsedBatches;
  readonly nowMs: () => number;
  readonly onWarning: (message: string) => void;
  /** Called with what this worker has reported, copies included, once it counts. */
  readonly onReport: (batch: Batch, report: ImageReport) => void;
};

/** What counts of a batch, as far as it was read. */
type Seen = {
  readonly follower: ResultFollower;
  /** The images that were reported. */
  readonly reported: Set<number>;
  /** Of a batch for everywhere: what was brought, and by whom. */
  readonly brought: Map<number, CountedResult>;
  /** The fields of copies, those that failed included. */
  readonly copies: Set<string>;
  /** Who has copies of an image. */
  readonly copiers: Map<number, string[]>;
};

/** How a batch was accepted. The batch itself is kept by who works on it. */
type Accepted = {
  readonly batch: Pick<Batch, 'id' | 'name'>;
  readonly keyId: string;
  /** Of its envelope. */
  readonly beginning: string;
};

/** So many characters of an envelope tell batches apart: its payload begins with the id. */
const beginning = 128;

/** The ledger of a queue as one worker believes it: it takes the word of named keys, and signs what it says. */
export function createWorkLedger(options: WorkLedgerOptions): WorkLedger {
  const { ledger, worker, key, batches, used, nowMs, onWarning } = options;
  const workers =
    options.workers === 'anybody' ? options.workers : new Map([...options.workers, [key.keyId, key] as const]);
  const accepted = new Map<string, Accepted>();
  const seen = new Map<string, Seen>();

  const open = (batch: Batch): Seen => {
    const [reported, copies] = [new Set<number>(), new Set<string>()];
    const [brought, copiers] = [new Map<number, CountedResult>(), new Map<number, string[]>()];
    const follower = followResults({
      ...{ ledger, batch, keys: workers },
      onDoubted: (field, why) =>
        onWarning(`the result ${show(field, 128)} of the batch ${batch.name} does not count: ${why}`),
      onCounted(one) {
        const { index, field, isCopy, isFailed, worker: by } = one;
        if (!isCopy) reported.add(index);
        if (batch.use !== 'everywhere') return;
        if (isCopy) copies.add(field);
        if (isFailed) return;
        const others = copiers.get(index);
        if (isCopy && others) others.push(by);
        else if (isCopy) copiers.set(index, [by]);
        else brought.set(index, one);
      },
      onStartOver() {
        for (const all of [reported, copies, brought, copiers]) all.clear();
      },
    });
    return { follower, reported, brought, copies, copiers };
  };

  const seenOf = (batch: Batch): Seen => {
    const known = seen.get(batch.id) ?? open(batch);
    seen.set(batch.id, known);
    return known;
  };

  const sync = async (batch: Batch): Promise<Seen> => {
    const known = seenOf(batch);
    await known.follower.fresh();
    return known;
  };

  /** Signs a report and adds it, unless one is there that counts: nothing is reported twice. */
  const add = async (batch: Batch, report: ImageReport, isCopy: boolean): Promise<void> => {
    const result = { id: batch.id, worker, ...report };
    const field = resultField(result, isCopy);
    const { follower } = seenOf(batch);
    const instead = await follower.doubtedAt(field);
    const isAdded = await ledger.addResult(batch, { field, envelope: await signResult(result, key) }, instead);
    if (!isAdded) return follower.look(field);
    follower.count(field, result);
    options.onReport(batch, report);
  };

  const end = async (batch: Batch, isCancelled: boolean): Promise<void> => {
    await used.note(batch, { endedAtMs: nowMs(), isCancelled });
    seen.delete(batch.id);
  };

  return {
    names: () => ledger.names(),
    async batch(name) {
      const envelope = await ledger.envelope(name);
      if (envelope === undefined) return undefined;
      const { batch, keyId } = await acceptBatch(envelope, { keys: batches, nowMs: nowMs(), name, used });
      const { id } = batch;
      accepted.set(id, { batch: { id, name }, keyId, beginning: envelope.slice(0, beginning) });
      return batch;
    },
    async isCancelled(batch) {
      const envelope = await ledger.cancellation(batch.id);
      const one = accepted.get(batch.id);
      if (envelope === undefined || !one || !(await isCancellationOf(one, envelope, batches))) return false;
      await end(batch, true);
      return true;
    },
    async begin(batch, index, run) {
      const { follower, reported } = seenOf(batch);
      if (reported.has(index)) return false;
      const field = String(index);
      const envelope = await ledger.begin(batch.id, field, run);
      if (envelope !== undefined) await follower.look(field, envelope);
      return !reported.has(index);
    },
    async isThere({ id, name }) {
      const there = await ledger.envelope(name, beginning);
      return there !== undefined && there === accepted.get(id)?.beginning;
    },
    reported: async (batch) => (await sync(batch)).reported,
    countReported: async (batch) => (await sync(batch)).reported.size,
    report: (batch, report) => add(batch, report, false),
    async uncopied(batch) {
      const { brought, copies, copiers } = await sync(batch);
      const own = batchLocks(batch);
      return [...brought].flatMap(
        ([
          index,
          {
            worker: by,
            found: { locked, validators },
          },
        ]) => {
          if (by === worker || copies.has(resultField({ index, worker }, true))) return [];
          const from = [by, ...(copiers.get(index) ?? [])];
          // who may be anybody does not choose what is copied
          if (workers === 'anybody') return [{ index, locked: [...own(index).images], workers: from }];
          return [{ index, locked, ...(validators && { validators }), workers: from }];
        },
      );
    },
    reportCopy: (batch, report) => add(batch, report, true),
    async isEverywhere(batch) {
      const { brought, copies } = await sync(batch);
      // what is not believed is as if it were not there
      const there = await openPresences(await ledger.workers(), workers, nowMs(), () => undefined);
      return isEverywhere(batch, brought, copies, there);
    },
    async complete(batch) {
      await ledger.expire(batch);
      await end(batch, false);
    },
    forget({ id }) {
      accepted.delete(id);
      seen.delete(id);
    },
    news: (signal, about) => ledger.news(signal, about),
  };
}
