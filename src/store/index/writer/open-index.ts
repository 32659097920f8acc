import { statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

import { ImageError } from '../../../errors.ts';
import { imageBlobName, registryBlobName } from '../../../image/digest.ts';
import { show } from '../../../image/show.ts';
import { hasName } from '../../../system/files.ts';
import { foreignIndex, isBusy } from '../../store-error.ts';
import { isOfOtherTools, readOciIndexSync } from '../oci-index.ts';
import { busyMs, indexVersion, type Layout } from '../protocol.ts';
import { withTransaction } from './transaction.ts';

/**
 * Opens the index for writing; creates or migrates it if needed. Blobs are renamed only under the lock of an existing
 * index. So an index that is created where blobs lie replaces a lost one. It is marked as `relisting` until a repair
 * has listed the blobs again.
 *
 * @throws STORE_VERSION, STORE_CORRUPT
 */
export function openIndex(layout: Layout): DatabaseSync {
  const { index: path } = layout;
  requireNoLog(path);
  const db = new DatabaseSync(path, { timeout: busyMs });
  try {
    readVersion(db, path, indexVersion);
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

/** SQLite would delete the log of a lost index, which a human may still need. */
function requireNoLog(path: string): void {
  const sizeOf = (name: string): number => statSync(name, { throwIfNoEntry: false })?.size ?? 0;
  if (sizeOf(path) > 0 || sizeOf(`${path}-wal`) === 0 || sizeOf(path) > 0) return; // another process may be making it
  throw new ImageError(
    'STORE_CORRUPT',
    `${show(path, 1024)} is empty, but its log is not: repair with "longshore image verify --repair"`,
    { path },
  );
}

/** Blobs in a layout of another tool are not ours. */
function holdsOurBlobs({ blobs, registryBlobs, ociIndex }: Layout): boolean {
  if (hasName(blobs, imageBlobName)) return true;
  return hasName(registryBlobs, registryBlobName) && !isForeignIndex(ociIndex);
}

function isForeignIndex(path: string): boolean {
  try {
    const index = readOciIndexSync(path);
    return index !== undefined && isOfOtherTools(index);
  } catch {
    return false; // unknown
  }
}

/** SQLite does not wait for the exclusive lock that it needs to switch an empty file to WAL. */
function useWriteAheadLog(db: DatabaseSync): void {
  const until = performance.now() + busyMs;
  for (;;) {
    try {
      db.exec('PRAGMA journal_mode = WAL');
      return;
    } catch (error) {
      if (!isBusy(error) || performance.now() > until) throw error;
      pause(5 + Math.random() * 20);
    }
  }
}

/** Blocks the thread: it can do nothing else before the index is open. */
function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/**
 * Migrates the index to the version of the last of `steps`, in one transaction. An empty index has version 0.
 *
 * @param onMade - called in that transaction if the index was empty.
 * @throws STORE_VERSION; STORE_CORRUPT for a database of another program
 */
export function migrate(
  db: DatabaseSync,
  path: string,
  steps: readonly string[],
  onMade: () => void = () => undefined,
): void {
  if (readVersion(db, path, steps.length) === steps.length) return;
  withTransaction(db, 'FULL', () => {
    // again under the lock, since another process may have migrated it
    const found = readVersion(db, path, steps.length);
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
 * The statements that lead from version n to n + 1, at index n. A released step never changes, since stores exist that
 * have taken it.
 *
 * Times are milliseconds since the epoch. `seq` is the order of first import. `mtime_ns` and `inode` are those of the
 * blob when it was last verified. `manifest` comes last, so that reading the other columns skips its pages.
 *
 * Version 2 stores registry images; their digests are 64 hex digits. `blobs` are the files of `blobs/sha256`: `owner`
 * is the process that imported a blob, until an image needs it. `list` is the index that a manifest was chosen from,
 * `oci` a manifest derived for tools that read OCI only. `descriptors` are our entries of index.json; a row stays until
 * its entry is gone from the file. `generation` counts the changes that index.json has to show; `lineage` distinguishes
 * this index from earlier ones in the same directory.
 *
 * Version 3 recognises an index that was created over blobs of a lost one: `relisting` is 1 until a repair has listed
 * again what it can. It adds `ctime_ns`, which belongs to `mtime_ns`; where it is NULL the file has to be hashed first.
 *
 * Version 4 has `answers`: what servers answered lately about what names stand for.
 *
 * Version 5 keeps images with all their `platforms`, a JSON list, and what is attached to images, `referrers`, another one. An image
 * that was asked for by the digest of an index is named in index.json by the digest of its own manifest.
 *
 * Version 6 keeps `proofs`: what made images trusted. `image` is the ID of an image or the reference of a registry image. A later proof by
 * the same signers takes the place of an earlier one.
 *
 * Version 7 keeps the archives of images as they were transferred: `archive` is the digest of a blob. `needed_blobs` are those that
 * images need. A proof about an archive that is kept stays, also if the same signers have signed another archive of that image.
 */
export const schemaSteps = [
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
  `
  CREATE TABLE answers (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    answered_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX answers_by_age ON answers (answered_at);
  `,
  `
  ALTER TABLE registry_images ADD COLUMN platforms TEXT;
  ALTER TABLE registry_images ADD COLUMN referrers TEXT;
  INSERT INTO descriptors (digest, name)
    SELECT coalesce(oci, manifest), replace(reference, list, manifest) FROM registry_images
    WHERE list IS NOT NULL AND instr(reference, list) > 0
    ON CONFLICT DO NOTHING;
  UPDATE generation SET number = number + 1 WHERE number > 0;
  `,
  `
  CREATE TABLE proofs (
    image TEXT NOT NULL,
    kind TEXT NOT NULL,
    signers TEXT NOT NULL,
    covers TEXT NOT NULL,
    facts TEXT NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (image, kind, signers)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  ALTER TABLE images ADD COLUMN archive TEXT;
  ALTER TABLE images ADD COLUMN archive_size INTEGER;
  ALTER TABLE images ADD COLUMN compression TEXT;
  CREATE INDEX images_by_archive ON images (archive) WHERE archive IS NOT NULL;
  CREATE VIEW needed_blobs AS
    SELECT digest FROM registry_blobs
    UNION ALL SELECT archive FROM images WHERE archive IS NOT NULL;

  ALTER TABLE proofs RENAME TO proofs_by_signers;
  CREATE TABLE proofs (
    image TEXT NOT NULL,
    kind TEXT NOT NULL,
    signers TEXT NOT NULL,
    covers TEXT NOT NULL,
    facts TEXT NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (image, kind, signers, covers)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO proofs SELECT image, kind, signers, covers, facts, bytes FROM proofs_by_signers;
  DROP TABLE proofs_by_signers;
  `,
] as const satisfies readonly string[] & { readonly length: typeof indexVersion };
