import { statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

import { ImageError } from '../../../errors.ts';
import { imageBlobName, registryBlobName } from '../../../image/digest.ts';
import { show } from '../../../image/show.ts';
import { hasName } from '../../../system/files.ts';
import { isOfOtherTools, readOciIndexSync } from '../oci-index.ts';
import type { Layout } from '../protocol.ts';
import { isSqliteError, SQLITE_BUSY, withTransaction } from './transaction.ts';
import { foreignIndex } from '../../store-error.ts';

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
    const index = readOciIndexSync(path);
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
function readVersion(db: DatabaseSync, path: string, supported: number): number {
  const found = Number(db.prepare('PRAGMA user_version').get()?.['user_version']);
  if (found <= supported) return found;
  const message = `the store's index is of version ${found}, this longshore knows up to ${supported}: use a newer one`;
  throw new ImageError('STORE_VERSION', message, { path, found, supported });
}

/**
 * What leads from version n to n + 1, at index n. A released step never changes: stores exist that took it.
 *
 * Times are milliseconds since the epoch. `seq` is the order of first import. `mtime_ns` and `inode` are those of the
 * blob when it was last known good. `manifest` comes last, so that reading the rest skips its pages.
 *
 * Version 2 keeps registry images; their digests are the 64 hex digits. `blobs` are the files of `blobs/sha256`: `owner`
 * is the process that brought one in until an image needs it. `list` is the index that a manifest was chosen from, `oci`
 * a manifest derived for tools that read OCI alone. `descriptors` are those of index.json that are ours; one stays here
 * until it is gone from there. `generation` counts what index.json has to follow, `lineage` tells this index from any
 * other that the directory had.
 *
 * Version 3 tells an index that was begun over blobs which another one had listed: `relisting` is 1 until a repair has listed
 * again what it can. It adds `ctime_ns`, which belongs to `mtime_ns`; where it is NULL the file has to be hashed first.
 */
export const schemaSteps: readonly string[] = [
  `
  CREATE TABLE images (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    version TEXT,
    labels TEXT NOT NULL,
    dependencies TEXT NOT NULL,
    size INTEGER NOT NULL,
    imported_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    latest INTEGER NOT NULL,
    source TEXT NOT NULL,
    digest TEXT NOT NULL,
    verified TEXT,
    weak INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    manifest TEXT NOT NULL
  ) STRICT;
  CREATE INDEX images_by_version ON images (name, version, imported_at);
  CREATE INDEX images_by_latest ON images (name, latest, imported_at);
  CREATE INDEX images_by_import ON images (imported_at);

  CREATE TABLE remotes (
    key TEXT PRIMARY KEY,
    image TEXT NOT NULL,
    etag TEXT,
    last_modified TEXT,
    max_age INTEGER NOT NULL,
    checked_at INTEGER NOT NULL,
    signature_url TEXT
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX remotes_by_image ON remotes (image);

  CREATE TABLE claims (
    key TEXT PRIMARY KEY,
    owner TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX claims_by_owner ON claims (owner);
  `,
  `
  CREATE TABLE blobs (
    digest TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    owner TEXT
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX blobs_by_owner ON blobs (owner) WHERE owner IS NOT NULL;

  CREATE TABLE registry_images (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    reference TEXT NOT NULL UNIQUE,
    manifest TEXT NOT NULL,
    manifest_type TEXT NOT NULL,
    manifest_size INTEGER NOT NULL,
    list TEXT,
    list_type TEXT,
    list_size INTEGER,
    oci TEXT,
    oci_type TEXT,
    oci_size INTEGER,
    os TEXT NOT NULL,
    architecture TEXT NOT NULL,
    variant TEXT,
    image TEXT,
    imported_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    latest INTEGER NOT NULL,
    source TEXT NOT NULL,
    verified TEXT,
    weak INTEGER NOT NULL,
    generation INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX registry_images_by_import ON registry_images (imported_at);
  CREATE INDEX registry_images_by_manifest ON registry_images (manifest);
  CREATE INDEX registry_images_by_list ON registry_images (list);
  CREATE INDEX registry_images_by_oci ON registry_images (oci);
  CREATE INDEX registry_images_by_image ON registry_images (image);

  CREATE TABLE registry_blobs (
    image INTEGER NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (image, digest)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX registry_blobs_by_digest ON registry_blobs (digest);

  CREATE TABLE descriptors (
    digest TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (digest, name)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE generation (
    lineage TEXT NOT NULL,
    number INTEGER NOT NULL
  ) STRICT;
  INSERT INTO generation VALUES (lower(hex(randomblob(8))), 0);
  `,
  `
  ALTER TABLE generation ADD COLUMN relisting INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE images ADD COLUMN ctime_ns INTEGER;
  ALTER TABLE blobs ADD COLUMN ctime_ns INTEGER;
  `,
];
