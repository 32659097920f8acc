import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import test from 'ava';

import { openRepaired } from '../../src/images/relist.ts';
import { indexVersion } from '../../src/store/index/protocol.ts';
import { openStore } from '../../src/store/open-store.ts';
import { commitBlob, storeDirectory } from '../helpers/blob.ts';

const foreign: Readonly<Record<string, string>> = {
  'a database of another program': 'CREATE TABLE bookmarks (url TEXT); INSERT INTO bookmarks VALUES (1)',
  'one that has a table of ours': 'CREATE TABLE images (id TEXT)',
  'one with the version of an older index': 'CREATE TABLE bookmarks (url TEXT); PRAGMA user_version = 1',
  'one with the present version': `CREATE TABLE bookmarks (url TEXT); PRAGMA user_version = ${indexVersion}`,
};

for (const [what, sql] of Object.entries(foreign)) {
  test(`${what} in the place of the index is refused, left alone, and set aside by a repair`, async (t) => {
    const dir = await storeDirectory(t);
    await mkdir(dir);
    const index = join(dir, 'index.sqlite');
    const db = new DatabaseSync(index);
    db.exec(sql);
    db.close();
    const tables = readTables(index);
    for (const how of [{ readOnly: true }, { writesLittle: true }, {}]) {
      await t.throwsAsync(openStore({ dir, ...how }), {
        code: 'STORE_CORRUPT',
        message: /index.sqlite.*verify --repair/,
      });
    }
    t.deepEqual(readTables(index), tables);

    const { store, setAside = '' } = await openRepaired(dir, 1);
    await using repaired = store;
    t.truthy(await commitBlob(repaired));
    t.deepEqual(readTables(setAside), tables);
    t.true((await readdir(dir)).includes('index.sqlite.damaged-1'));
    t.true((await readFile(setAside)).length > 0);
  });
}

test('an index that lacks a table or a column is damaged', async (t) => {
  for (const sql of ['DROP TABLE remotes', 'ALTER TABLE images DROP COLUMN source', 'DROP TABLE generation']) {
    const dir = await storeDirectory(t);
    await (await openStore({ dir })).close();
    const db = new DatabaseSync(join(dir, 'index.sqlite'));
    db.exec(sql);
    db.close();
    for (const how of [{ readOnly: true }, { writesLittle: true }, {}]) {
      await t.throwsAsync(openStore({ dir, ...how }), { code: 'STORE_CORRUPT', message: /verify --repair/ }, sql);
    }
  }
});

function readTables(path: string): unknown {
  using db = new DatabaseSync(path, { readOnly: true });
  return db
    .prepare('SELECT sql FROM sqlite_schema')
    .all()
    .map((row) => ({ ...row }));
}
