/**
 * What leads from version n to n + 1, at index n. A released step never changes: stores exist that took it.
 *
 * Times are milliseconds since the epoch. `seq` is the order of first import. `mtime_ns` and `inode` are those of the
 * blob when it was last known good. `manifest` comes last, so that reading the rest skips its pages.
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
];
