import { existsSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout } from 'node:timers/promises';

import test from 'ava';

import { createGroup, type GroupMessage, writeGroup } from '../../../../src/store/index/writer/group.ts';
import { openIndex } from '../../../../src/store/index/writer/open-index.ts';
import { createRegistryRows } from '../../../../src/store/index/writer/registry-rows.ts';
import { createRows } from '../../../../src/store/index/writer/rows.ts';
import { storeLayout } from '../../../../src/store/layout.ts';
import { commitBlob, openTestStore, prepareBlob } from '../../../helpers/blob.ts';

test('items that arrive together run together, and never more than 250', async (t) => {
  const groups: number[][] = [];
  const group = createGroup<number>((items) => groups.push([...items]));
  for (let item = 0; item < 600; item += 1) group.add(item);
  t.deepEqual(
    groups.map(({ length }) => length),
    [250, 250],
  );

  await setTimeout(60);
  t.deepEqual(
    groups.map(({ length }) => length),
    [250, 250, 100],
  );
  t.deepEqual(
    groups.flat(),
    Array.from({ length: 600 }, (_, item) => item),
  );
});

test('after a pause an item does not wait, under load it waits for others', async (t) => {
  const ran: number[] = [];
  const group = createGroup<number>(() => ran.push(performance.now()));
  const startedAt = performance.now();
  while (ran.length < 8) {
    group.add(1);
    await setTimeout(1);
  }
  const passedMs = performance.now() - startedAt;
  t.true(passedMs >= 7 * 19, `8 groups in ${passedMs} ms`);
});

test('a flush runs the collected items at once, and nothing twice', async (t) => {
  const items: number[] = [];
  const group = createGroup<number>((more) => items.push(...more));
  group.add(1);
  group.flush();
  t.deepEqual(items, [1]);
  group.flush();
  await setTimeout(40);
  t.deepEqual(items, [1]);
});

test('a group that another process keeps from beginning waits for its lock once, not again for each of its files', async (t) => {
  const store = await openTestStore(t);
  await commitBlob(store);
  const layout = storeLayout(store.dir, 0o700);
  using db = openIndex(layout);
  db.exec('PRAGMA busy_timeout = 1');
  const context = { db, layout, rows: createRows(db), registry: createRegistryRows(db), owner: 'a' };
  const commits = await Promise.all([1, 2, 3].map(() => prepareBlob(store)));
  const messages = commits.map(({ path, stamp, image: { imageId } }, id): GroupMessage => {
    const image = {
      id: imageId.slice('sha512-'.length),
      name: 'a',
      version: null,
      labels: '[]',
      dependencies: '[]',
      size: 1,
    };
    const archive = { archive: null, archiveSize: null, compression: null };
    const about = { latest: 0, source: 'a', digest: 'a', verified: null, weak: 0, ...archive };
    return { id, task: 'commit', request: { path, stamp, image: { ...image, ...about }, manifest: '{}', proofs: [] } };
  });
  using other = new DatabaseSync(layout.index);
  other.exec('BEGIN IMMEDIATE');
  const begun: string[] = [];
  db.exec = (sql) => {
    if (sql.startsWith('BEGIN')) begun.push(sql);
    DatabaseSync.prototype.exec.call(db, sql);
  };
  t.is(writeGroup(context, messages).size, 3);
  t.is(begun.length, 1);
  t.false(commits.some(({ path }) => existsSync(path)));
});
