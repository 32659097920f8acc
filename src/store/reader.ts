import type { DatabaseSync, SQLInputValue, SQLOutputValue } from 'node:sqlite';

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
  /** The first row, in the order of the query, that `matches`. */
  find(matches: (row: Row) => boolean, ...values: readonly SQLInputValue[]): Promise<Row | undefined>;
};

/**
 * Reads on the main thread: a lookup takes microseconds, less than a message to another thread would. The connection
 * itself never waits.
 */
export function createReader(db: DatabaseSync, path: string): Reader {
  return {
    prepare(sql) {
      const statement = db.prepare(sql);
      return {
        get: (...values) => patiently(path, () => statement.get(...values)),
        all: (...values) => patiently(path, () => statement.all(...values)),
        find: (matches, ...values) => patiently(path, () => statement.iterate(...values).find(matches)),
      };
    },
    close: () => {
      db.close();
      return Promise.resolve();
    },
  };
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
