import { DatabaseSync } from 'node:sqlite';

import { migrate, readVersion } from './migrate.ts';
import { schemaSteps } from './schema.ts';
import { isSqliteError, SQLITE_BUSY } from './sqlite-error.ts';

/** How long a write waits for another process's transaction. */
const busyMs = 10_000;

/** Opens the index for writing, made or migrated as need be. @throws STORE_VERSION */
export function openIndex(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: busyMs });
  try {
    readVersion(db, path, schemaSteps.length);
    useWriteAheadLog(db);
    migrate(db, path, schemaSteps);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** SQLite does not wait by itself for the exclusive lock that the change of an empty file to WAL takes. */
function useWriteAheadLog(db: DatabaseSync): void {
  const until = performance.now() + busyMs;
  for (;;) {
    try {
      db.exec('PRAGMA journal_mode = WAL');
      return;
    } catch (error) {
      if (!isSqliteError(error, SQLITE_BUSY) || performance.now() > until) throw error;
      pause(5 + Math.random() * 20);
    }
  }
}

/** Blocks the thread: nothing else can run before the index is open. */
function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
