import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import test from 'ava';

import { openStore } from '../../src/store/open-store.ts';
import { commitBlob, idOf, storeDirectory } from '../helpers/blob.ts';
import { namesInIndex, putRegistryImage } from '../helpers/registry-image.ts';

/** The index as the first version made it. */
const version1 = `
  PRAGMA journal_mode = WAL;
  CREATE TABLE images (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, version TEXT,
    labels TEXT NOT NULL, dependencies TEXT NOT NULL, size INTEGER NOT NULL, imported_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL, latest INTEGER NOT NULL, source TEXT NOT NULL, digest TEXT NOT NULL, verified TEXT,
    weak INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL, manifest TEXT NOT NULL
  ) STRICT;
  CREATE INDEX images_by_version ON images (name, version, imported_at);
  CREATE INDEX images_by_latest ON images (name, latest, imported_at);
  CREATE INDEX images_by_import ON images (imported_at);
  CREATE TABLE remotes (
    key TEXT PRIMARY KEY, image TEXT NOT NULL, etag TEXT, last_modified TEXT, max_age INTEGER NOT NULL,
    checked_at INTEGER NOT NULL, signature_url TEXT
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX remotes_by_image ON remotes (image);
  CREATE TABLE claims (key TEXT PRIMARY KEY, owner TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE INDEX claims_by_owner ON claims (owner);
  PRAGMA user_version = 1`;

const imageId = idOf(Buffer.from('an old image'));
const insert = `INSERT INTO images VALUES (5, '${imageId.slice('sha512-'.length)}', 'example.com/old', '1',
  '[["version","1"]]', '[]', 12, 1000, 2000, 1, '/old.aci', 'sha256:00', '["aa"]', 0, 1, 1, '{}')`;

test('a store of version 1 keeps its images and accepts registry images', async (t) => {
  const dir = await storeDirectory(t);
  await mkdir(dir);
  const db = new DatabaseSync(join(dir, 'index.sqlite'));
  db.exec(version1);
  db.exec(insert);
  db.close();
  await t.throwsAsync(openStore({ dir, readOnly: true }), { code: 'STORE_VERSION', message: /brings it up to date/ });

  const stores = await Promise.all([1, 2, 3].map(() => openStore({ dir }))); // all at once
  const [store = t.fail('none')] = stores;

  t.like(await store.findImage('example.com/old', new Map([['version', '1']])), {
    imageId,
    latest: true,
    verified: ['aa'],
  });
  const added = await commitBlob(store);
  t.deepEqual(
    (await Array.fromAsync(store.images())).map((image) => image.imageId),
    [imageId, added.imageId],
  );
  const image = await putRegistryImage(store, { imageId: added.imageId });
  t.is(image.imageId, added.imageId);
  await Promise.all(stores.map((one) => one.close()));
  t.deepEqual(await namesInIndex(dir), [image.reference]);
});

test('a store that was made by version 1 has the same index as a new one', async (t) => {
  const [old, fresh] = [await storeDirectory(t), await storeDirectory(t)];
  await mkdir(old);
  const db = new DatabaseSync(join(old, 'index.sqlite'));
  db.exec(version1);
  db.close();
  const shapes = await Promise.all(
    [old, fresh].map(async (dir) => {
      await (await openStore({ dir })).close();
      const index = new DatabaseSync(join(dir, 'index.sqlite'), { readOnly: true });
      const rows = index
        .prepare("SELECT name, replace(replace(sql, ' ', ''), char(10), '') sql FROM sqlite_schema")
        .all();
      index.close();
      return rows;
    }),
  );
  t.true((shapes[0]?.length ?? 0) > 15);
  t.deepEqual(shapes[0], shapes[1]);
});
