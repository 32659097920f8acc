import { DatabaseSync } from 'node:sqlite';

import { isSqliteError, SQLITE_BUSY } from './sqlite-error.ts';

/**
 * Whether a living process holds a lock file exclusively, found by reading it, which any other user may, too. A file
 * that is not there, or not a lock that one of ours made, nobody holds.
 */
export function isLocked(path: string): boolean {
  try {
    using db = new DatabaseSync(path, { readOnly: true, timeout: 0 });
    db.prepare('PRAGMA user_version').get();
    return false;
  } catch (error) {
    return isSqliteError(error, SQLITE_BUSY);
  }
}
