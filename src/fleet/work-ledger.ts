import { createHash } from 'node:crypto';

import { ImageError, isImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import type { AcceptedKeys, SigningKey } from '../internal.ts';
import { acceptBatch, type AcceptedBatch, isCancellationOf } from './accept.ts';
import type { Batch } from './batch.ts';
import { batchLocks, type ImageReport } from './bring.ts';
import type { Kept, Ledger } from './ledger.ts';
import { isEverywhere, openPresences, openResult, type Result, resultField, signResult } from './result.ts';
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
  /** The images that were reported. */
  readonly reported: Set<number>;
  /** The SHA-256 of what was found in the place of results and does not count, by field. */
  readonly doubted: Map<string, string>;
  /** Of a batch for everywhere: what was brought, and by whom. */
  readonly brought: Map<number, Pick<Result, 'worker' | 'locked' | 'validators'>>;
  /** The fields of copies, those that failed included. */
  readonly copies: Set<string>;
  /** Who has copies of an image. */
  readonly copiers: Map<number, string[]>;
  next: number;
};

/** So many results that do not count are looked at again at a time: another worker may have put its own there. */
const lookedAtAgain = 100;
/** Whoever writes to the queue does not decide how much memory that takes. */
const mostDoubted = 100_000;

/** The ledger of a queue as one worker believes it: it takes the word of named keys, and signs what it says. */
export function createWorkLedger(options: WorkLedgerOptions): WorkLedger {
  const { ledger, worker, key, batches, used, nowMs, onWarning } = options;
  const workers =
    options.workers === 'anybody' ? options.workers : new Map([...options.workers, [key.keyId, key] as const]);
  const accepted = new Map<string, AcceptedBatch>();
  const seen = new Map<string, Seen>();

  const seenOf = ({ id }: Batch): Seen => {
    const known = seen.get(id) ?? {
      reported: new Set(),
      doubted: new Map(),
      brought: new Map(),
      copies: new Set(),
      copiers: new Map(),
      next: 0,
    };
    seen.set(id, known);
    return known;
  };

  const note = (batch: Batch, field: string, { index, worker: by, outcome, locked, validators }: Result): void => {
    const { reported, brought, copies, copiers } = seenOf(batch);
    const isCopy = field !== String(index);
    if (!isCopy) reported.add(index);
    if (batch.use !== 'everywhere') return;
    if (isCopy) copies.add(field);
    if (outcome.error) return;
    if (isCopy) (copiers.get(index) ?? setNew(copiers, index)).push(by);
    else brought.set(index, { worker: by, locked, ...(validators && { validators }) });
  };

  const take = async (batch: Batch, { field, envelope }: Kept): Promise<void> => {
    const { doubted } = seenOf(batch);
    const hash = createHash('sha256').update(envelope).digest('base64');
    if (doubted.get(field) === hash) return;
    try {
      const { value } = await openResult(envelope, workers, { id: batch.id, field });
      if (value.index >= batch.images.length) throw noSuchImage(value.index, batch);
      doubted.delete(field);
      note(batch, field, value);
    } catch (error) {
      if (!isImageError(error)) throw error;
      onWarning(`the result ${show(field, 128)} of the batch ${batch.name} does not count: ${error.message}`);
      if (doubted.size < mostDoubted) doubted.set(field, hash);
    }
  };

  const lookAgain = async (batch: Batch, field: string): Promise<void> => {
    const envelope = await ledger.result(batch.id, field);
    if (envelope !== undefined) await take(batch, { field, envelope });
  };

  const sync = async (batch: Batch): Promise<Seen> => {
    // a Redis that was killed may have lost its last second: what was read of that does not count
    const { reported, copies } = seenOf(batch);
    if ((await ledger.countResults(batch.id)) < reported.size + copies.size) seen.delete(batch.id);
    const own = seenOf(batch);
    for (let isMore = true; isMore;) {
      const page = await ledger.results(batch.id, own.next);
      for (const one of page.kept) await take(batch, one);
      isMore = page.next > own.next;
      own.next = Math.max(own.next, page.next);
    }
    for (const field of [...own.doubted.keys()].slice(0, lookedAtAgain)) await lookAgain(batch, field);
    return own;
  };

  /** Signs a report and adds it, unless one is there that counts: nothing is reported twice. */
  const add = async (batch: Batch, report: ImageReport, isCopy: boolean): Promise<void> => {
    const result = { id: batch.id, worker, ...report };
    const field = resultField(result, isCopy);
    const { doubted } = seenOf(batch);
    const instead = doubted.has(field) ? await ledger.result(batch.id, field) : undefined;
    const isAdded = await ledger.addResult(batch, { field, envelope: await signResult(result, key) }, instead);
    if (!isAdded) return lookAgain(batch, field);
    doubted.delete(field);
    note(batch, field, result);
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
      const one = await acceptBatch(envelope, { keys: batches, nowMs: nowMs(), name, used });
      accepted.set(one.batch.id, one);
      return one.batch;
    },
    async isCancelled(batch) {
      const envelope = await ledger.cancellation(batch.id);
      const one = accepted.get(batch.id);
      if (envelope === undefined || !one || !(await isCancellationOf(one, envelope, batches))) return false;
      await end(batch, true);
      return true;
    },
    async isReported(batch, index) {
      if (seenOf(batch).reported.has(index)) return true;
      await lookAgain(batch, String(index));
      return seenOf(batch).reported.has(index);
    },
    reported: async (batch) => (await sync(batch)).reported,
    countReported: async (batch) => (await sync(batch)).reported.size,
    report: (batch, report) => add(batch, report, false),
    async uncopied(batch) {
      const { brought, copies, copiers } = await sync(batch);
      const own = batchLocks(batch);
      return [...brought].flatMap(([index, { worker: by, locked, validators }]) => {
        if (by === worker || copies.has(resultField({ index, worker }, true))) return [];
        const from = [by, ...(copiers.get(index) ?? [])];
        // who may be anybody does not choose what is copied
        if (workers === 'anybody') return [{ index, locked: [...own(index).images], workers: from }];
        return [{ index, locked, ...(validators && { validators }), workers: from }];
      });
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
    news: (signal) => ledger.news(signal),
  };
}

function setNew(copiers: Map<number, string[]>, index: number): string[] {
  const names: string[] = [];
  copiers.set(index, names);
  return names;
}

function noSuchImage(index: number, { name }: Batch): ImageError<'BATCH_INVALID'> {
  return new ImageError('BATCH_INVALID', `there is no image ${index}`, { why: 'content', batch: name });
}
