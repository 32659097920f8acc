import { opendirSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { setImmediate } from 'node:timers/promises';

import { isBusy } from '../../store-error.ts';
import { busyMs } from '../protocol.ts';

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

/** SQLITE_IOERR_FSYNC */
const syncFailed = 1034;

/**
 * Whether a transaction that failed may take place later: the log has all of it and could not be synced. If the process is killed before
 * the next one is written over it, whoever opens the index finds it there.
 */
export function isInDoubt(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === syncFailed;
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

/** How long it waits in a thread that has more to do, which asks before whether it has to wait. */
const brieflyMs = 1_000;

/**
 * For a thread that must not be stopped by a write of another process: it asks before its own, and as long as it has to wait it asks
 * again a little later. After as long as a write would wait otherwise, it need not wait any more, and the write fails.
 */
export function createLockWatch(db: DatabaseSync): () => boolean {
  let sinceMs: number | undefined;
  db.exec(`PRAGMA busy_timeout = ${brieflyMs}`);
  return () => {
    if (!isLocked(db)) sinceMs = undefined;
    else sinceMs ??= performance.now();
    return sinceMs !== undefined && performance.now() - sinceMs < busyMs;
  };
}

function isLocked(db: DatabaseSync): boolean {
  db.exec('PRAGMA busy_timeout = 0');
  try {
    withWriteLock(db, () => undefined);
    return false;
  } catch (error) {
    return isBusy(error); // the write itself reports any other failure
  } finally {
    db.exec(`PRAGMA busy_timeout = ${brieflyMs}`);
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
