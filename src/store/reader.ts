import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite';

import { patiently } from './patiently.ts';

export type Row = Readonly<Record<string, SQLOutputValue>>;

/** The index, for reading alone. */
export type Reader = {
  /** Prepared once, run often. */
  prepare(sql: string): Query;
  close(): Promise<void>;
};

export type Query = {
  get(...values: readonly SQLInputValue[]): Promise<Row | undefined>;
  all(...values: readonly SQLInputValue[]): Promise<readonly Row[]>;
  /** What `pick` makes of the first row, in the order of the query, that it does not pass over. */
  find<T>(pick: (row: Row) => T | undefined, ...values: readonly SQLInputValue[]): Promise<T | undefined>;
};

/**
 * Reads on the main thread: a lookup takes microseconds, less than a message to another thread would. The connection
 * itself never waits.
 */
export function createReader(db: DatabaseSync, path: string): Reader {
  const begin = db.prepare('BEGIN');
  const commit = db.prepare('COMMIT');
  const end = (): void => {
    if (db.isOpen && db.isTransaction) commit.run();
  };
  /** Half of what a lookup costs are the locks: all of one turn share theirs. What another turn reads sees later writes. */
  const read = <T>(work: () => T): Promise<T> =>
    patiently(path, () => {
      if (!db.isTransaction) {
        begin.run();
        process.nextTick(end);
      }
      return work();
    });
  return {
    prepare(sql) {
      const statement = db.prepare(sql);
      return {
        get: (...values) => read(() => statement.get(...values)),
        all: (...values) => read(() => statement.all(...values)),
        find: (pick, ...values) => read(() => pickFirst(statement, pick, values)),
      };
    },
    close: () => {
      db.close();
      return Promise.resolve();
    },
  };
}

/** Stops reading there. Mostly the first row is it, and an iterator costs as much again as to get one row. */
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
    .find((one) => one !== undefined);
}

/** Of a store that is not there yet. */
export const emptyReader: Reader = {
  prepare: () => ({
    get: () => Promise.resolve(undefined),
    all: () => Promise.resolve([]),
    find: () => Promise.resolve(undefined),
  }),
  close: () => Promise.resolve(),
};
