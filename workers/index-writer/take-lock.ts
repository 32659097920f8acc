import { existsSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';

import { isSqliteError, SQLITE_NOTADB } from './sqlite-error.ts';

/**
 * Tries the lock of another owner, without waiting and without making the file.
 *
 * @returns the lock, to be closed, when its owner is dead; `missing` when there is none that one of ours made; `held`
 *   also when this user may not try: then nobody can tell.
 */
export function takeLock(path: string): DatabaseSync | 'held' | 'missing' {
  if (!existsSync(path)) return 'missing';
  const url = pathToFileURL(path);
  url.searchParams.set('mode', 'rw');
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(url, { timeout: 0 });
    db.exec('PRAGMA journal_mode = MEMORY'); // nothing will be written: no file to undo it
    db.exec('BEGIN EXCLUSIVE');
    return db;
  } catch (error) {
    db?.close();
    return isSqliteError(error, SQLITE_NOTADB) || !existsSync(path) ? 'missing' : 'held';
  }
}
