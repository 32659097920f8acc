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
