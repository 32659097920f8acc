import type { DatabaseSync } from 'node:sqlite';

import { ImageError } from '../../src/errors.ts';
import { foreignIndex } from '../../src/image/index-fault.ts';
import { withTransaction } from './transaction.ts';

/**
 * Brings the index to the version that `steps` lead to, in one transaction; an empty one is of version 0.
 *
 * @param onMade - part of that transaction, where the index was empty.
 * @throws STORE_VERSION; STORE_CORRUPT for a database that another program made
 */
export function migrate(
  db: DatabaseSync,
  path: string,
  steps: readonly string[],
  onMade: () => void = () => undefined,
): void {
  if (readVersion(db, path, steps.length) === steps.length) return;
  withTransaction(db, 'FULL', () => {
    const found = readVersion(db, path, steps.length); // again, under the lock: another process may have been faster
    if (found === 0 && db.prepare('SELECT 1 FROM sqlite_schema').get()) throw foreignIndex(path);
    for (const step of steps.slice(found)) db.exec(step);
    if (found === 0) onMade();
    db.exec(`PRAGMA user_version = ${steps.length}`);
  });
}

/** @throws STORE_VERSION when the index is of a newer version than `supported`: it must be left untouched. */
export function readVersion(db: DatabaseSync, path: string, supported: number): number {
  const found = Number(db.prepare('PRAGMA user_version').get()?.['user_version']);
  if (found <= supported) return found;
  const message = `the store's index is of version ${found}, this longshore knows up to ${supported}: use a newer one`;
  throw new ImageError('STORE_VERSION', message, { path, found, supported });
}
