import { existsSync } from 'node:fs';
import { mkdir, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import type { Remote } from '../../src/store/store.ts';
import { commitBlob, idOf, openTestStore, prepareBlob } from '../helpers/blob.ts';

const url = 'https://user:secret@example.com/app.aci?token=secret';
const day = 24 * 60 * 60 * 1000;

test('the cached state of a URL is that of exactly this URL', async (t) => {
  const store = await openTestStore(t);
  const record: Remote = {
    imageId: idOf(Buffer.from('not here')),
    etag: '"1"',
    lastModified: 'Mon, 02 Jan 2006 15:04:05 GMT',
    maxAgeMs: 60_000,
    checkedAtMs: 1_000,
    signatureUrl: 'https://example.com/app.aci.asc',
  };
  await store.putRemote(url, record);

  t.deepEqual(await store.getRemote(url), record); // T18
  t.is(await store.getRemote('https://example.com/app.aci'), undefined);

  const { imageId, maxAgeMs, checkedAtMs } = record;
  await store.putRemote(url, { imageId, maxAgeMs, checkedAtMs });
  t.deepEqual(await store.getRemote(url), { imageId, maxAgeMs, checkedAtMs });
});

test('a record is written with the commit of its image and removed with it', async (t) => {
  const store = await openTestStore(t);
  const commit = await prepareBlob(store);
  const record = { imageId: commit.image.imageId, maxAgeMs: 0, checkedAtMs: 1 };
  await store.commit({ ...commit, remote: { url, record } });
  t.deepEqual(await store.getRemote(url), record);

  t.is(await store.remove(commit.image.imageId), 64); // T13

  t.is(await store.getRemote(url), undefined);
  t.is(await store.getImage(commit.image.imageId), undefined);
  t.deepEqual(await readdir(join(store.dir, 'blobs', 'sha512')), []);
});

test('an image that is not listed cannot be removed', async (t) => {
  const store = await openTestStore(t);
  await t.throwsAsync(store.remove(idOf(Buffer.from('x'))), { code: 'NOT_IN_STORE' }); // T14
});

test('an image whose blob is gone already is removed and frees nothing', async (t) => {
  const store = await openTestStore(t);
  const { imageId } = await commitBlob(store);
  await rm(store.blobPath(imageId));
  t.is(await store.remove(imageId), 0); // T15
  t.is(await store.getImage(imageId), undefined);
});

test('unlisted blobs are found and collected; images stay', async (t) => {
  const store = await openTestStore(t);
  const { imageId } = await commitBlob(store);
  const orphans = Array.from({ length: 300 }, (_, at) => store.blobPath(idOf(Buffer.from(String(at)))));
  await Promise.all(orphans.map((path) => writeFile(path, 'garbage')));
  t.deepEqual((await Array.fromAsync(store.unreferenced())).sort(), orphans.toSorted());

  const request = { nowMs: Date.now(), partialsOlderThanMs: day };
  const expected = { blobs: 300, partials: 0, temporaries: 0, bytes: 300 * 'garbage'.length, left: [] };
  t.deepEqual(await store.collect({ ...request, dryRun: true }), expected);
  t.deepEqual(await store.collect(request), expected);

  t.deepEqual(await Array.fromAsync(store.unreferenced()), []);
  t.is(await store.blobState(imageId), 'intact');
  t.is((await store.collect(request)).blobs, 0);
});

test('partial downloads are collected when they are old and their URL is not claimed', async (t) => {
  const store = await openTestStore(t);
  const paths: string[] = [];
  for (const name of ['old', 'claimed', 'new']) {
    const partial = await store.openPartial(name);
    await partial.restart({});
    await partial.append([Buffer.from('bytes')]);
    await partial.close();
    paths.push(partial.path);
    const directory = join(partial.path, '..');
    const files = (await readdir(directory)).map((file) => join(directory, file));
    if (name !== 'new') for (const file of [...files, directory]) await utimes(file, 1, 1);
  }
  await using _claim = await store.claim('claimed', new AbortController().signal);

  const report = await store.collect({ nowMs: Date.now(), partialsOlderThanMs: day });

  t.is(report.partials, 1);
  t.deepEqual(paths.map(existsSync), [false, true, true]);
});

test('files that are not ours stay where they are', async (t) => {
  const store = await openTestStore(t);
  const strangers = [
    join(store.dir, 'blobs', 'sha512', 'notes.txt'),
    join(store.dir, 'downloads', 'x', 'y'),
    join(store.dir, 'tmp', 'z'),
  ];
  await mkdir(join(store.dir, 'downloads', 'x'));
  for (const path of strangers) await writeFile(path, 'x');
  for (const path of strangers) await utimes(path, 1, 1);

  await store.collect({ nowMs: Date.now(), partialsOlderThanMs: 0 });

  t.true(strangers.every(existsSync));
});
