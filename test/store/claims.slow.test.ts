import { existsSync } from 'node:fs';
import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';

import test from 'ava';

import { openStore } from '../../src/store/open-store.ts';
import type { Store } from '../../src/store/store.ts';
import { openTestStore, storeDirectory } from '../helpers/blob.ts';
import { startStoreProcess } from '../helpers/store-process.ts';

const never = new AbortController().signal;

/** A claim that was asked for before has had its first answer: the index answers in the order of the requests. */
async function isAsked(store: Store): Promise<void> {
  await setImmediate();
  const probe = await store.tryClaim('probe');
  await probe?.release();
}

/** Each owner has a directory and a lock beside it, and there is nothing else. */
async function countOwners(dir: string): Promise<number> {
  const names = await readdir(join(dir, 'tmp'));
  const owners = names.filter((name) => /^[0-9a-f]{32}$/.test(name));
  if (!isDeepStrictEqual(names.sort(), owners.flatMap((name) => [name, `${name}.lock`]).sort())) return NaN;
  return owners.length;
}

test('within a process a claim goes to one caller after the other, in the order of their requests', async (t) => {
  const store = await openTestStore(t);
  const order: number[] = [];
  let holders = 0;
  const waited = await Promise.all(
    [0, 1, 2, 3].map(async (number) => {
      await using claim = await store.claim('key', never);
      t.is((holders += 1), 1);
      order.push(number);
      await setTimeout(5);
      holders -= 1;
      return claim.waited;
    }),
  );
  t.deepEqual(order, [0, 1, 2, 3]);
  t.deepEqual(waited, [false, true, true, true]);
});

test('tryClaim does not get a claim that is held, but another one', async (t) => {
  const store = await openTestStore(t);
  await using other = await openStore({ dir: store.dir });
  const claim = await store.tryClaim('key');

  t.truthy(claim);
  t.is(await store.tryClaim('key'), undefined);
  t.is(await other.tryClaim('key'), undefined);
  await using _another = await other.claim('another', never);

  await claim?.release();
  await claim?.release(); // once more does nothing
  await using taken = await other.tryClaim('key');
  t.truthy(taken);
  t.is(await store.tryClaim('key'), undefined);
});

test('an abort ends the wait with its reason, and the next caller gets the claim', async (t) => {
  const store = await openTestStore(t);
  await using other = await openStore({ dir: store.dir });
  const claim = await store.claim('key', never);
  const reason = new Error('enough');

  for (const waiting of [store, other]) {
    const controller = new AbortController();
    const waiter = waiting.claim('key', controller.signal);
    void setTimeout(30).then(() => controller.abort(reason));
    t.is(await t.throwsAsync(waiter), reason);
  }
  await t.throwsAsync(store.claim('free', AbortSignal.abort(reason)), { is: reason });

  const next = other.claim('key', never);
  await isAsked(other);
  await claim.release();
  t.true((await next).waited);
});

test('eight processes that claim one key hold it one at a time', async (t) => {
  const dir = await storeDirectory(t);
  const mark = `${dir}.mark`;
  const processes = Array.from({ length: 8 }, () => startStoreProcess(t, ['contend', dir, 'key', mark, '5']));
  t.deepEqual(await Promise.all(processes.map((process) => process.ended())), Array<number>(8).fill(0));
});

test('the claim and the temporary files of a killed holder go to the next one', async (t) => {
  const store = await openTestStore(t);
  const holder = startStoreProcess(t, ['hold', store.dir, 'key']);
  const temporary: unknown = JSON.parse((await holder.line()) ?? '');
  t.true(typeof temporary === 'string' && existsSync(join(temporary, '..')));
  t.is(await store.tryClaim('key'), undefined);
  const waiter = store.claim('key', never);
  await isAsked(store);

  await holder.kill();

  await using claim = await waiter;
  t.true(claim.waited);
  t.is(await countOwners(store.dir), 1);
});

test('opening for writing removes what dead processes left, and only that', async (t) => {
  const dir = await storeDirectory(t);
  const [dead, alive] = [startStoreProcess(t, ['hold', dir, 'a']), startStoreProcess(t, ['hold', dir, 'b'])];
  await Promise.all([dead.line(), alive.line()]);
  await dead.kill();
  t.is(await countOwners(dir), 2);
  await using reader = await openStore({ dir, readOnly: true });
  t.is(await countOwners(dir), 2, 'a reader sweeps nothing');
  await reader.close();

  await using store = await openStore({ dir });

  t.is(await countOwners(dir), 2); // the living one's and ours
  await using claim = await store.tryClaim('a');
  t.truthy(claim);
  t.is(await store.tryClaim('b'), undefined);
});

test('a lock file that was never locked is removed after a while, and a claim without an owner is free', async (t) => {
  const dir = await storeDirectory(t);
  await (await openStore({ dir })).close();
  const unlocked = (digit: string): string => join(dir, 'tmp', `new-${digit.repeat(32)}`);
  const [old, older, young] = [`${unlocked('0')}.lock`, unlocked('2'), `${unlocked('1')}.lock`];
  for (const path of [old, young]) await writeFile(path, '');
  await mkdir(older); // older versions make a directory
  for (const path of [old, older]) await utimes(path, 1, 1);
  const index = new DatabaseSync(join(dir, 'index.sqlite'));
  index.exec(`INSERT INTO claims VALUES ('${'a'.repeat(64)}', '${'2'.repeat(32)}'), ('${'b'.repeat(64)}', '../..')`);
  index.close();

  await using _store = await openStore({ dir });

  t.deepEqual([old, older, young, join(dir, 'blobs')].map(existsSync), [false, false, true, true]);
  const again = new DatabaseSync(join(dir, 'index.sqlite'), { readOnly: true });
  t.deepEqual(again.prepare('SELECT * FROM claims').all(), []);
  again.close();
});

test('ten thousand claims are taken and released at once', async (t) => {
  const store = await openTestStore(t);
  const keys = Array.from({ length: 10_000 }, (_, at) => `key ${at}`);
  const claims = await Promise.all(keys.map((key) => store.claim(key, never)));
  t.true(claims.every(({ waited }) => !waited));
  await Promise.all(claims.map((claim) => claim.release()));
  const again = await Promise.all(keys.map((key) => store.tryClaim(key)));
  t.true(again.every((claim) => claim !== undefined));
});

test('closing releases all claims and leaves no directory', async (t) => {
  const store = await openTestStore(t);
  await using other = await openStore({ dir: store.dir });
  const claim = await store.claim('key', never);
  await store.close();
  await claim.release();
  t.truthy(await other.tryClaim('key'));
  t.is(await countOwners(store.dir), 1);
});
