import { statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

import { ImageError } from '../../src/errors.ts';
import { imageBlobName, registryBlobName } from '../../src/image/blob-name.ts';
import { isOfOtherTools } from '../../src/image/oci-index.ts';
import { show } from '../../src/image/show.ts';
import { hasName } from '../../src/system/directory.ts';
import { migrate, readVersion } from './migrate.ts';
import { readOciIndex } from './oci-index.ts';
import type { Layout } from './protocol.ts';
import { schemaSteps } from './schema.ts';
import { isSqliteError, SQLITE_BUSY } from './sqlite-error.ts';

/** How long a write waits for another process's transaction. */
const busyMs = 10_000;

/**
 * Opens the index for writing, made or migrated as need be. Blobs are renamed only under the lock of an index that is made:
 * one that has yet to be made where blobs lie takes the place of another, and says so until a repair has listed them again.
 *
 * @throws STORE_VERSION, STORE_CORRUPT
 */
export function openIndex(layout: Layout): DatabaseSync {
  const { index: path } = layout;
  requireNoLog(path);
  const db = new DatabaseSync(path, { timeout: busyMs });
  try {
    readVersion(db, path, schemaSteps.length);
    useWriteAheadLog(db);
    migrate(db, path, schemaSteps, () => {
      if (holdsOurBlobs(layout)) db.exec('UPDATE generation SET relisting = 1');
    });
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** The log of an index that was lost says something to nobody but a human: SQLite would remove it. */
function requireNoLog(path: string): void {
  const sizeOf = (name: string): number => statSync(name, { throwIfNoEntry: false })?.size ?? 0;
  if (sizeOf(path) > 0 || sizeOf(`${path}-wal`) === 0 || sizeOf(path) > 0) return; // another process may be making it
  throw new ImageError(
    'STORE_CORRUPT',
    `${show(path, 1024)} is empty, but its log is not: repair with "longshore image verify --repair"`,
    { path },
  );
}

/** Those of a layout that another tool made are none. */
function holdsOurBlobs({ blobs, registryBlobs, ociIndex }: Layout): boolean {
  if (hasName(blobs, imageBlobName)) return true;
  return hasName(registryBlobs, registryBlobName) && !isForeignIndex(ociIndex);
}

function isForeignIndex(path: string): boolean {
  try {
    const index = readOciIndex(path);
    return index !== undefined && isOfOtherTools(index);
  } catch {
    return false; // it cannot be told
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
