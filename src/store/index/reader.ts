import { DatabaseSync, type SQLInputValue, type SQLOutputValue, type StatementSync } from 'node:sqlite';
import { setTimeout } from 'node:timers/promises';

import { ImageError } from '../../errors.ts';
import { show } from '../../image/show.ts';
import { foreignIndex, isBusy, storeError } from '../store-error.ts';
import { busyMs, indexVersion } from './protocol.ts';

export type Row = Readonly<Record<string, SQLOutputValue>>;

/** A read-only connection to the index. */
export type Reader = {
  /** Prepares a query, which can be run many times. */
  prepare(sql: string): Query;
  close(): Promise<void>;
};

export type Query = {
  get(...values: readonly SQLInputValue[]): Promise<Row | undefined>;
  all(...values: readonly SQLInputValue[]): Promise<readonly Row[]>;
  /** Calls `pick` with each row, in the order of the query, until it returns something. */
  find<T>(pick: (row: Row) => T | undefined, ...values: readonly SQLInputValue[]): Promise<T | undefined>;
  /** As find, without waiting; undefined also if that fails, as while the index is busy: find would wait, and report it. */
  findAtOnce<T>(pick: (row: Row) => T | undefined, ...values: readonly SQLInputValue[]): T | undefined;
};

/**
 * Reads on the main thread: a lookup takes microseconds, less than a message to another thread. SQLite itself never
 * waits for a lock here.
 */
function createReader(db: DatabaseSync, path: string): Reader {
  const begin = db.prepare('BEGIN');
  const commit = db.prepare('COMMIT');
  const end = (): void => {
    if (db.isOpen && db.isTransaction) commit.run();
  };
  /**
   * Locks are half the cost of a lookup, so all reads of one turn share a transaction. The next turn sees later writes.
   */
  const readNow = <T>(work: () => T): T => {
    if (!db.isTransaction) {
      begin.run();
      process.nextTick(end);
    }
    return work();
  };
  const read = <T>(work: () => T): Promise<T> => retryWhileBusy(path, () => readNow(work));
  return {
    prepare(sql) {
      const statement = db.prepare(sql);
      return {
        get: (...values) => read(() => statement.get(...values)),
        all: (...values) => read(() => statement.all(...values)),
        find: (pick, ...values) => read(() => pickFirst(statement, pick, values)),
        findAtOnce(pick, ...values) {
          try {
            return readNow(() => pickFirst(statement, pick, values));
          } catch {
            return undefined;
          }
        },
      };
    },
    close: () => {
      db.close();
      return Promise.resolve();
    },
  };
}

/** Stops at the first match. That is usually the first row, and an iterator costs as much again as `get`. */
function pickFirst<T>(
  statement: StatementSync,
  pick: (row: Row) => T | undefined,
  values: readonly SQLInputValue[],
): T | undefined {
  const first = statement.get(...values);
  const picked = first && pick(first);
  if (!first || picked !== undefined) return picked;
  return statement
    .iterate(...values)
    .map(pick)
    .find((found) => found !== undefined);
}

/** The reader of a store that does not exist yet. */
export const emptyReader: Reader = {
  prepare: () => ({
    get: () => Promise.resolve(undefined),
    all: () => Promise.resolve([]),
    find: () => Promise.resolve(undefined),
    findAtOnce: () => undefined,
  }),
  close: () => Promise.resolve(),
};

/**
 * Opens the index for reading. An index without tables counts as empty.
 *
 * @param location - the path, or a file: URL with SQLite's parameters.
 * @param path - of the index, for errors.
 * @throws STORE_VERSION unless this program supports its version; STORE_CORRUPT
 */
export async function openReader(location: string | URL, path: string): Promise<Reader> {
  const db = await retryWhileBusy(path, () => new DatabaseSync(location, { readOnly: true, timeout: 0 }));
  try {
    const found = await retryWhileBusy(path, () => Number(db.prepare('PRAGMA user_version').get()?.['user_version']));
    if (found === indexVersion) return createReader(db, path);
    const schema = await retryWhileBusy(path, () => db.prepare('SELECT name FROM sqlite_schema').all());
    const isOurs =
      found === 0 ? schema.length === 0 : found > indexVersion || schema.some(({ name }) => name === 'images');
    if (!isOurs) throw foreignIndex(path);
    if (found !== 0) throw otherVersion(path, found);
    db.close();
    return emptyReader;
  } catch (error) {
    db.close();
    throw error;
  }
}

function otherVersion(path: string, found: number): ImageError {
  const advice = found > indexVersion ? 'use a newer one' : 'any command that writes brings it up to date';
  const message = `${show(path, 1024)} is of version ${found}, this longshore reads ${indexVersion}: ${advice}`;
  return new ImageError('STORE_VERSION', message, { path, found, supported: indexVersion });
}

const retryMs = 20;

/**
 * Repeats a read while the index is busy, as while another process recovers, opens or closes it. SQLite would block the
 * thread.
 *
 * @throws STORE_BUSY after 10 s, and the other STORE_ codes.
 */
async function retryWhileBusy<T>(path: string, read: () => T): Promise<T> {
  const until = performance.now() + busyMs;
  for (;;) {
    try {
      return read();
    } catch (error) {
      if (!isBusy(error) || performance.now() > until) throw storeError(error, path);
    }
    await setTimeout(retryMs);
  }
}
