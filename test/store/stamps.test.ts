import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, link, mkdir, readdir, readFile, rename, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import test from 'ava';

import { openStore } from '../../src/store/open-store.ts';
import { commitBlob, openTestStore, prepareBlob, stampNow, storeDirectory } from '../helpers/blob.ts';
import { digestOf, putBytes } from '../helpers/registry-image.ts';

test('a file that was replaced after it was hashed is not listed, however similar it is', async (t) => {
  const store = await openTestStore(t);
  const commit = await prepareBlob(store, { content: Buffer.alloc(64, 'a') });
  const { atime, mtime } = await stat(commit.path);
  await rm(commit.path);
  await writeFile(commit.path, Buffer.alloc(64, 'b'), { mode: 0o444 });
  await utimes(commit.path, atime, mtime);
  await t.throwsAsync(store.commit(commit), { code: 'STORE_CORRUPT', message: /not the file .* that was verified/ });

  const bytes = Buffer.alloc(64, 'c');
  const path = store.temporaryPath();
  await writeFile(path, bytes);
  const stamp = stampNow(path);
  await writeFile(path, Buffer.alloc(64, 'd'));
  const swapped = store.commitBlob({ path, stamp, digest: digestOf(bytes), size: 64 });
  await t.throwsAsync(swapped, { code: 'STORE_CORRUPT' });
  t.deepEqual(await readdir(join(store.dir, 'blobs'), { recursive: true }), ['sha256', 'sha512']);
});

test('a blob whose bytes were changed and whose times were restored counts as changed, by its ctime', async (t) => {
  const store = await openTestStore(t);
  const { imageId } = await commitBlob(store, { content: Buffer.alloc(64, 'a') });
  const digest = await putBytes(store, Buffer.alloc(64, 'a'));
  for (const path of [store.blobPath(imageId), store.digestPath(digest)]) {
    t.is((await stat(path)).mode & 0o777, 0o444);
    const before = stampNow(path);
    await chmod(path, 0o644);
    const { mtimeNs } = await stat(path, { bigint: true });
    await writeFile(path, Buffer.alloc(64, 'b'));
    execFileSync('touch', [
      '-d',
      `@${mtimeNs / 1_000_000_000n}.${String(mtimeNs % 1_000_000_000n).padStart(9, '0')}`,
      path,
    ]);
    const after = stampNow(path);
    t.deepEqual([after.mtimeNs, after.inode], [before.mtimeNs, before.inode]);
  }
  t.is(await store.blobState(imageId), 'changed');
  t.is(await store.digestState(digest), 'changed');
  t.false(await store.hasBlob(digest));
});

test('a blob is confirmed only if it is the file that was hashed', async (t) => {
  const store = await openTestStore(t);
  const { imageId } = await commitBlob(store);
  const path = store.blobPath(imageId);
  await link(path, `${path}.more`);
  t.is(await store.blobState(imageId), 'changed');
  const stamp = stampNow(path);
  await rm(`${path}.more`); // the count of its names is part of it
  await t.throwsAsync(store.confirmBlob(imageId, stamp), { code: 'STORE_CORRUPT' });
  await store.confirmBlob(imageId, stampNow(path));
  t.is(await store.blobState(imageId), 'intact');
});

test('rows of an older store without ctime count once their blobs were hashed', async (t) => {
  const dir = await storeDirectory(t);
  const store = await openStore({ dir });
  const { imageId } = await commitBlob(store);
  const digest = await putBytes(store, Buffer.from('a blob'));
  await store.close();
  const db = new DatabaseSync(join(dir, 'index.sqlite'));
  db.exec('UPDATE images SET ctime_ns = NULL; UPDATE blobs SET ctime_ns = NULL');
  db.close();
  await using again = await openStore({ dir });
  t.deepEqual([await again.blobState(imageId), await again.digestState(digest)], ['changed', 'changed']);
  await again.confirmBlob(imageId, stampNow(again.blobPath(imageId)));
  await again.confirmDigest(digest, stampNow(again.digestPath(digest)));
  t.deepEqual([await again.blobState(imageId), await again.digestState(digest)], ['intact', 'intact']);
});

const inPlace: Readonly<Record<string, (path: string) => Promise<unknown> | void>> = {
  directory: (path) => mkdir(path).then(() => writeFile(join(path, 'precious'), 'x')),
  link: (path) => symlink('/etc/passwd', path),
  'link that leads nowhere': (path) => symlink('/nowhere', path),
  fifo: (path) => void execFileSync('mkfifo', [path]),
};

for (const [kind, make] of Object.entries(inPlace)) {
  test(`a ${kind} in the place of a blob is set aside when the blob is committed again`, async (t) => {
    const store = await openTestStore(t);
    const content = Buffer.from('an image');
    const { imageId } = await commitBlob(store, { content });
    const digest = await putBytes(store, content);
    for (const path of [store.blobPath(imageId), store.digestPath(digest)]) {
      await rename(path, `${path}.gone`);
      await make(path);
    }
    t.deepEqual([await store.blobState(imageId), await store.digestState(digest)], ['missing', 'missing']);

    await commitBlob(store, { content });
    await putBytes(store, content);

    t.deepEqual([await store.blobState(imageId), await store.digestState(digest)], ['intact', 'intact']);
    const aside = (await readdir(store.dir)).filter((name) => /^[0-9a-f]+\.damaged-\d+$/.test(name));
    t.deepEqual(
      aside.map((name) => name.split('.')[0]).sort(),
      [store.blobPath(imageId), store.digestPath(digest)].map((path) => basename(path)).sort(),
    );
    if (kind === 'directory') t.true(aside.every((name) => existsSync(join(store.dir, name, 'precious'))));
    t.true((await readFile('/etc/passwd')).length > 0);
  });
}
