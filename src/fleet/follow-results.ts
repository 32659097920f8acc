import { createHash } from 'node:crypto';

import { ImageError, isImageError } from '../errors.ts';
import type { AcceptedKeys } from '../internal.ts';
import type { Batch } from './batch.ts';
import type { Kept, Ledger } from './ledger.ts';
import { openResult, type Result, resultField } from './result.ts';

/** What is remembered of a result that counts. */
export type CountedResult = Pick<Result, 'index' | 'worker'> & {
  readonly field: string;
  /** It is about what one more worker has got, of an image that was brought before. */
  readonly isCopy: boolean;
  readonly isFailed: boolean;
  /** Of a batch for everywhere, what others copy. */
  readonly found: Pick<Result, 'locked' | 'validators'>;
};

/** A result that has just been read. */
export type FreshResult = Result & Pick<CountedResult, 'isCopy'>;

export type FollowOptions = {
  readonly ledger: Pick<Ledger, 'result' | 'results'>;
  readonly batch: Pick<Batch, 'id' | 'use' | 'images'>;
  readonly keys: AcceptedKeys | 'anybody';
  readonly onDoubted: (field: string, why: string) => void;
  readonly onCounted: (result: CountedResult) => void;
  /** Called when some of what was counted may be lost: what is still there is counted once more. */
  readonly onStartOver: () => void;
};

export type ResultFollower = {
  /** Reads what has come. @returns results that were not read before */
  fresh(): Promise<readonly FreshResult[]>;
  /** Looks at the place of one result, or at what was found there. */
  look(field: string, envelope?: string): Promise<void>;
  /** Counts what this process has added. */
  count(field: string, result: Result): void;
  /** What is in the place of a result and does not count, if it was read. */
  doubtedAt(field: string): Promise<string | undefined>;
};

/** So many results that do not count are looked at again at a time: a worker may have put its own in their place. */
const lookedAtAgain = 100;
/** Whoever writes to the queue does not decide how much memory that takes. */
const mostDoubted = 100_000;

/** Follows the results of a batch, as somebody believes them who takes the word of named keys. Each is verified once. */
export function followResults(options: FollowOptions): ResultFollower {
  const { ledger, batch, keys, onDoubted, onCounted, onStartOver } = options;
  const { id } = batch;
  /** The SHA-256 of what was found in the place of results and does not count, by field. */
  const doubted = new Map<string, string>();
  let counted = new Map<string, CountedResult>();
  /** What was counted, and may be lost. */
  let before = new Map<string, CountedResult>();
  let next = 0;
  let connection: number | undefined;
  let reading: Promise<unknown> = Promise.resolve();

  const add = (one: CountedResult): undefined => {
    counted.set(one.field, one);
    doubted.delete(one.field);
    onCounted(one);
  };
  const count = (field: string, { index, worker, outcome, locked, validators }: Result): boolean => {
    const isCopy = field !== resultField({ index, worker }, false);
    const found = batch.use === 'everywhere' && !isCopy ? { locked, validators } : { locked: [] };
    add({ field, index, worker, isCopy, isFailed: outcome.error !== undefined, found });
    return isCopy;
  };

  const take = async ({ field, envelope }: Kept): Promise<FreshResult | undefined> => {
    if (counted.has(field)) return undefined;
    const known = before.get(field);
    if (known) return add(known);
    const hash = createHash('sha256').update(envelope).digest('base64');
    if (doubted.get(field) === hash) return undefined;
    try {
      const { value } = await openResult(envelope, keys, { id, field });
      if (value.index >= batch.images.length)
        throw new ImageError('BATCH_INVALID', `there is no image ${value.index}`, { why: 'content' });
      if (counted.has(field)) return undefined; // meanwhile
      return { ...value, isCopy: count(field, value) };
    } catch (error) {
      if (!isImageError(error)) throw error;
      onDoubted(field, error.message);
      if (doubted.size < mostDoubted) doubted.set(field, hash);
    }
    return undefined;
  };

  const look = async (field: string, found?: string): Promise<FreshResult | undefined> => {
    const envelope = found ?? (await ledger.result(id, field));
    return envelope === undefined ? undefined : await take({ field, envelope });
  };

  const read = async (): Promise<readonly FreshResult[]> => {
    const fresh: (FreshResult | undefined)[] = [];
    for (const [field, hash] of [...doubted].slice(0, lookedAtAgain)) {
      doubted.delete(field);
      doubted.set(field, hash); // last, so that each has its turn
      fresh.push(await look(field));
    }
    for (;;) {
      const least = counted.size;
      const page = await ledger.results(id, next);
      connection ??= page.connection;
      if (page.connection !== connection || page.total < least) {
        connection = page.connection;
        next = 0;
        before = new Map([...before, ...counted]);
        counted = new Map();
        onStartOver();
        continue;
      }
      for (const one of page.kept) fresh.push(await take(one));
      next = page.next;
      if (page.isLast) break;
    }
    before = new Map();
    return fresh.filter((one) => one !== undefined);
  };

  return {
    fresh() {
      const mine = reading.then(read);
      reading = mine.catch(() => undefined); // the one that waits for it is told
      return mine;
    },
    look: async (field, envelope) => void (await look(field, envelope)),
    count: (field, result) => void count(field, result),
    doubtedAt: async (field) => (doubted.has(field) ? ledger.result(id, field) : undefined),
  };
}
