import { chmodSync, lstatSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

import { isNoEntry } from '../../src/system/errno.ts';
import { isSqliteError, SQLITE_BUSY } from './sqlite-error.ts';

/** Makes a lock file, which is empty for ever, and holds it exclusively until the connection is closed or the process ends. */
export function createLock(path: string, mode: number): DatabaseSync {
  writeFileSync(path, '', { flag: 'wx' });
  chmodSync(path, mode);
  const db = new DatabaseSync(path, { timeout: 0 });
  db.exec('PRAGMA journal_mode = MEMORY'); // nothing is ever written, and the file is about to get its name
  db.exec('BEGIN EXCLUSIVE');
  return db;
}

/** `unknown`: it could not be opened, as when this process has no descriptor left; somebody may hold it. */
export type LockState = 'held' | 'free' | 'absent' | 'unknown';

/**
 * Whether a living process holds a lock, found by reading it, which others than its owner may, too. What is no empty file
 * is no lock of ours; to open it could mean to wait, or to follow what somebody put there.
 */
export function lockState(path: string): LockState {
  try {
    if (!isEmptyFile(path)) return 'absent';
    using db = new DatabaseSync(path, { readOnly: true, timeout: 0 });
    db.prepare('PRAGMA user_version').get();
    return 'free';
  } catch (error) {
    if (isSqliteError(error, SQLITE_BUSY)) return 'held';
    return isGone(path) ? 'absent' : 'unknown';
  }
}

function isEmptyFile(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat !== undefined && stat.isFile() && stat.size === 0;
}

function isGone(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) === undefined;
  } catch (error) {
    return isNoEntry(error);
  }
}
