import { opendirSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { setImmediate } from 'node:timers/promises';

/** A `FULL` transaction survives a power cut. A `NORMAL` one may be lost by it, as a whole. */
type Durability = 'FULL' | 'NORMAL';

/**
 * Runs `work` as one transaction that holds the write lock from the start. `work` is synchronous, so that no
 * transaction is open between events.
 */
export function withTransaction<T>(db: DatabaseSync, durability: Durability, work: () => T): T {
  db.exec(`PRAGMA synchronous = ${durability}`);
  db.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    db.exec('COMMIT');
    return result;
  } catch (error) {
    rollBack(db);
    throw error;
  }
}

/**
 * Runs `work` under the write lock, for reading and for changes of files. Nothing is written to the index, so it needs
 * no space.
 */
export function withWriteLock<T>(db: DatabaseSync, work: () => T): T {
  db.exec('BEGIN IMMEDIATE');
  try {
    return work();
  } finally {
    rollBack(db);
  }
}

/**
 * Runs a part of a transaction that can fail without the rest.
 *
 * @returns the error, when the part has failed and was undone.
 * @throws when the failure has ended the whole transaction, as on a full disk.
 */
export function trySavepoint(db: DatabaseSync, work: () => void): { readonly error: unknown } | undefined {
  db.exec('SAVEPOINT part');
  try {
    work();
    db.exec('RELEASE part');
    return undefined;
  } catch (error) {
    if (!db.isTransaction) throw error;
    db.exec('ROLLBACK TO part; RELEASE part');
    return { error };
  }
}

/** After a full disk or a failed write SQLite has rolled back already. */
function rollBack(db: DatabaseSync): void {
  if (db.isTransaction) db.exec('ROLLBACK');
}

/** Names read before other requests get a turn. */
const chunk = 256;

/** Lists a directory of any size, in chunks. */
export async function* inChunks(path: string): AsyncGenerator<readonly string[]> {
  let names: string[] = [];
  using directory = opendirSync(path);
  for (let entry = directory.readSync(); entry; entry = directory.readSync()) {
    names.push(entry.name);
    if (names.length < chunk) continue;
    yield names;
    names = [];
    await setImmediate();
  }
  yield names;
}
