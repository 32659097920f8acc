import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';

import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { openStore } from '../../src/store/open-store.ts';
import { commitBlob, openTestStore, prepareBlob, stampNow } from '../helpers/blob.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

test('a commit places the blob under its ID, read-only, and lists the given facts', async (t) => {
  const store = await openTestStore(t);
  const content = Buffer.from('an image');
  const before = Date.now();
  const commit = await prepareBlob(store, { content, labels: { version: '1' }, verified: ['aa'], latest: true });

  const image = await store.commit(commit);

  t.like(image, commit.image);
  t.true(image.importedAtMs >= before && image.importedAtMs <= Date.now());
  t.is(image.lastUsedAtMs, image.importedAtMs);
  t.true((await readFile(store.blobPath(image.imageId))).equals(content));
  t.is((await stat(store.blobPath(image.imageId))).mode & 0o777, 0o444);
  t.false(existsSync(commit.path));
  t.is(await store.blobState(image.imageId), 'intact');
});

test('thousands of simultaneous commits all succeed', async (t) => {
  const store = await openTestStore(t);
  const commits = await Promise.all(Array.from({ length: 3000 }, () => prepareBlob(store)));

  const images = await Promise.all(commits.map((commit) => store.commit(commit)));

  t.is(new Set(images.map(({ imageId }) => imageId)).size, 3000);
  t.is((await readdir(join(store.dir, 'blobs', 'sha512'))).length, 3000);
});

test('a commit that fails does not fail the others of its group, and leaves nothing', async (t) => {
  const store = await openTestStore(t);
  const good = await prepareBlob(store);
  const absent = { ...(await prepareBlob(store)), path: store.temporaryPath() };
  const short = await prepareBlob(store, { size: 63 });

  const [first, second, third] = await Promise.allSettled([good, absent, short].map((commit) => store.commit(commit)));

  t.is(first?.status, 'fulfilled');
  t.true(second?.status === 'rejected' && hasCode(second.reason, 'STORE_CORRUPT'));
  t.true(third?.status === 'rejected' && hasCode(third.reason, 'STORE_CORRUPT'));
  t.is((await Array.fromAsync(store.images())).length, 1);
  t.is((await readdir(join(store.dir, 'blobs', 'sha512'))).length, 1);
  t.false(existsSync(short.path));
});

test('a second import keeps latest, last use and verification, and adds signers', async (t) => {
  const store = await openTestStore(t);
  const content = Buffer.from('the same');
  const verified = { content, verified: ['aa', 'bb'], source: 'https://signed.example.com/a', latest: true };
  await commitBlob(store, verified);

  const unverified = await commitBlob(store, { content, source: '/elsewhere' });
  t.deepEqual(unverified.verified, ['aa', 'bb']);
  t.true(unverified.latest);
  t.is(unverified.source, 'https://signed.example.com/a');

  const again = await commitBlob(store, { content, verified: ['bb', 'cc'], source: '/signed' });
  t.deepEqual(again.verified, ['aa', 'bb', 'cc']);
  t.is(again.source, '/signed');
});

test('a blob that was replaced is changed until it is confirmed, a removed one is missing', async (t) => {
  const store = await openTestStore(t);
  const content = Buffer.from('an image');
  const { imageId } = await commitBlob(store, { content });
  const path = store.blobPath(imageId);

  await utimes(path, 1, 1);
  t.is(await store.blobState(imageId), 'changed');
  await store.confirmBlob(imageId, stampNow(path));
  t.is(await store.blobState(imageId), 'intact');

  await writeFile(path, 'an imagE longer');
  t.is(await store.blobState(imageId), 'changed');
  await t.throwsAsync(store.confirmBlob(imageId, stampNow(path)), { code: 'STORE_CORRUPT' });

  await store.remove(imageId);
  t.is(await store.blobState(imageId), 'missing');
});

test('a damaged blob is replaced by a commit of the same image; readers of the old one keep reading it', async (t) => {
  const store = await openTestStore(t);
  const content = Buffer.from('an image');
  const { imageId } = await commitBlob(store, { content });
  await writeFile(store.blobPath(imageId), 'damaged!');

  await commitBlob(store, { content });

  t.true((await readFile(store.blobPath(imageId))).equals(content));
  t.is(await store.blobState(imageId), 'intact');
});

test('the last use is recorded by close at the latest, and never goes back', async (t) => {
  const store = await openTestStore(t);
  const { imageId, lastUsedAtMs } = await commitBlob(store);
  while (Date.now() === lastUsedAtMs);

  store.touch(imageId);
  await store.close();

  await using reader = await openStore({ dir: store.dir, readOnly: true });
  t.true(((await reader.getImage(imageId))?.lastUsedAtMs ?? 0) > lastUsedAtMs);
});

test('a store that is written without a thread stops nothing else while another process writes', async (t) => {
  await using store = await openStore({ dir: join(await temporaryDirectory(t), 'store'), writesLittle: true });
  using other = new DatabaseSync(join(store.dir, 'index.sqlite'));
  other.exec('BEGIN IMMEDIATE');
  const claiming = store.claim('http://a', new AbortController().signal);
  await sleep(50); // would not end if this thread waited for the lock
  other.exec('ROLLBACK');
  await claiming;

  const answering = store.putAnswer('a', { value: 'b', answeredAtMs: 1 });
  await setImmediate(); // the answer waits for others of its group
  other.exec('BEGIN IMMEDIATE');
  await sleep(50);
  other.exec('ROLLBACK');
  await answering;
  t.like(await store.getAnswer('a'), { value: 'b' });
});

test('a store that is written without a thread opens while another process writes, and leaves what dead ones left for later', async (t) => {
  const dir = join(await temporaryDirectory(t), 'store');
  await (await openStore({ dir })).close();
  const left = join(dir, 'tmp', '0'.repeat(32));
  await mkdir(left);
  using other = new DatabaseSync(join(dir, 'index.sqlite'));
  other.exec('BEGIN IMMEDIATE');
  const store = await openStore({ dir, writesLittle: true });
  other.exec('ROLLBACK');
  t.true(existsSync(left));
  await store.close();
  await (await openStore({ dir, writesLittle: true })).close();
  t.false(existsSync(left));
});
