import { DatabaseSync } from 'node:sqlite';

import test from 'ava';

import { migrate, schemaSteps } from '../../../../src/store/index/writer/open-index.ts';

const steps = [
  'CREATE TABLE images (id TEXT); CREATE TABLE remotes (url TEXT);',
  'ALTER TABLE images ADD COLUMN size INTEGER NOT NULL DEFAULT 0;',
  'ALTER TABLE remotes RENAME COLUMN url TO key;',
];

function openMemory(): DatabaseSync {
  return new DatabaseSync(':memory:');
}

function versionOf(db: DatabaseSync): unknown {
  return db.prepare('PRAGMA user_version').get()?.['user_version'];
}

test('an index of any older version takes the missing steps, and keeps its rows', (t) => {
  for (const found of [0, 1, 2, 3]) {
    const db = openMemory();
    migrate(db, 'index', steps.slice(0, found));
    if (found > 0) db.exec("INSERT INTO images (id) VALUES ('a')");

    migrate(db, 'index', steps);

    t.is(versionOf(db), 3);
    t.deepEqual(
      db
        .prepare('SELECT id, size FROM images')
        .all()
        .map((row) => ({ ...row })),
      found > 0 ? [{ id: 'a', size: 0 }] : [],
    );
    t.notThrows(() => db.prepare('SELECT key FROM remotes'));
  }
});

test('a step that fails leaves the index unchanged', (t) => {
  const db = openMemory();
  migrate(db, 'index', steps.slice(0, 1));
  t.throws(() => migrate(db, 'index', [...steps.slice(0, 2), 'CREATE TABLE images (twice)']));
  t.is(versionOf(db), 1);
  t.throws(() => db.prepare('SELECT size FROM images'));
  t.notThrows(() => migrate(db, 'index', steps));
});

test('an index of a newer version is refused', (t) => {
  const db = openMemory();
  migrate(db, 'index', steps);
  t.throws(() => migrate(db, 'index', steps.slice(0, 2)), { code: 'STORE_VERSION' });
  t.is(versionOf(db), 3);
});

test('the steps of this release lead to the version that readers expect', (t) => {
  const db = openMemory();
  migrate(db, 'index', schemaSteps);
  t.is(versionOf(db), 7);
});

test('version 5 names what was pinned by an index anew, and knows the old name in index.json as ours', (t) => {
  const db = openMemory();
  migrate(db, 'index', schemaSteps.slice(0, 4));
  const [manifest, list] = ['a'.repeat(64), 'b'.repeat(64)];
  const name = `docker.io/library/app@sha256:${list}`;
  db.exec(`
    INSERT INTO registry_images VALUES (1, '${name}', '${manifest}', 'type', 3, '${list}', 'type', 3,
      NULL, NULL, NULL, 'linux', 'amd64', NULL, NULL, 1, 1, 0, 'source', NULL, 0, 1);
    INSERT INTO descriptors VALUES ('${manifest}', '${name}');
    UPDATE generation SET number = 1`);
  migrate(db, 'index', schemaSteps);
  const names = db.prepare('SELECT name FROM descriptors ORDER BY name').all();
  t.deepEqual(
    names.map((row) => row['name']),
    [name.replace(list, manifest), name],
  );
  t.is(db.prepare('SELECT number FROM generation').get()?.['number'], 2);
});
