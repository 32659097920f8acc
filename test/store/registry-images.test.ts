import { existsSync, statSync } from 'node:fs';
import { readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { openStore } from '../../src/store/open-store.ts';
import { commitBlob, openTestStore, stampNow } from '../helpers/blob.ts';
import { describe, digestOf, prepareRegistryImage, putBytes, putRegistryImage } from '../helpers/registry-image.ts';

test('a blob is stored under its digest, read-only, until it is removed or changed', async (t) => {
  const store = await openTestStore(t);
  const bytes = Buffer.from('a layer');
  t.false(await store.hasBlob(digestOf(bytes)));

  const digest = await putBytes(store, bytes);

  const path = store.digestPath(digest);
  t.is(path, join(store.dir, 'blobs', 'sha256', digest.slice('sha256:'.length)));
  t.deepEqual(await readFile(path), bytes);
  t.is((await stat(path)).mode & 0o777, 0o444);
  t.true(await store.hasBlob(digest));
  t.deepEqual([await store.hasBlob(digest, bytes.length), await store.hasBlob(digest, 1)], [true, false]);

  await utimes(path, 1, 1);
  t.false(await store.hasBlob(digest));
  await store.confirmDigest(digest, stampNow(store.digestPath(digest)));
  t.true(await store.hasBlob(digest));

  await rm(path);
  t.false(await store.hasBlob(digest));
  await putBytes(store, bytes);
  t.true(await store.hasBlob(digest));
});

test('a partial download of a digest becomes its blob', async (t) => {
  const store = await openTestStore(t);
  const bytes = Buffer.from('a layer that was interrupted');
  const digest = digestOf(bytes);
  const partial = await store.openPartial(digest);
  await partial.restart({ total: bytes.length });
  await partial.append([bytes.subarray(0, 9)]);
  await partial.close();

  const resumed = await store.openPartial(digest);
  t.is(resumed.bytes, 9);
  await resumed.append([bytes.subarray(9)]);
  await resumed.sync();
  await store.commitBlob({ path: resumed.path, stamp: stampNow(resumed.path), digest, size: bytes.length });
  await resumed.discard();

  t.deepEqual(await readFile(store.digestPath(digest)), bytes);
  t.deepEqual(await readdir(join(store.dir, 'downloads')), []);
  t.is((await store.openPartial(digest)).bytes, 0);
});

test('an existing blob is not replaced', async (t) => {
  const store = await openTestStore(t);
  const bytes = Buffer.from('a layer');
  const { ino } = await stat(store.digestPath(await putBytes(store, bytes)));
  const path = store.temporaryPath();
  await writeFile(path, bytes);

  await store.commitBlob({ path, stamp: stampNow(path), digest: digestOf(bytes), size: bytes.length });

  t.is((await stat(store.digestPath(digestOf(bytes)))).ino, ino);
  t.false(existsSync(path));
});

test('a blob of another size than stated is refused and leaves nothing', async (t) => {
  const store = await openTestStore(t);
  const [path, digest] = [store.temporaryPath(), digestOf(Buffer.from('x'))];
  await writeFile(path, 'x');
  await t.throwsAsync(store.commitBlob({ path, stamp: stampNow(path), digest, size: 2 }), { code: 'STORE_CORRUPT' });
  t.deepEqual([path, store.digestPath(digest)].map(existsSync), [false, false]);
});

test('an image is returned as it was committed', async (t) => {
  const store = await openTestStore(t);
  const { imageId, size } = await commitBlob(store);
  const [index, oci] = await Promise.all(
    ['an index', 'a derived manifest'].map(async (text) => {
      await putBytes(store, Buffer.from(text));
      return describe('application/json', Buffer.from(text));
    }),
  );
  const more = index && oci ? { index, oci } : {};
  const about = { ...more, imageId, platform: { os: 'linux', architecture: 'arm', variant: 'v7' }, latest: true };
  const commit = await prepareRegistryImage(store, { ...about, verified: ['aa'], weak: true });

  const image = await store.commitRegistryImage(commit);

  const { blobs, ...facts } = commit;
  t.like(image, facts);
  const sizes = image.blobs.map((digest) => statSync(store.digestPath(digest)).size);
  t.is(
    image.size,
    sizes.reduce((sum, bytes) => sum + bytes, size),
  );
  t.deepEqual(image.blobs.toSorted(), [...blobs, index?.digest, oci?.digest].sort());
  t.deepEqual(await store.findRegistryImage(commit.reference), image);
  t.is(await store.findRegistryImage('docker.io/library/other:1'), undefined);
  for (const id of [commit.manifest.digest, index?.digest, oci?.digest, imageId]) {
    t.deepEqual(id && (await store.registryImagesOf(id)), [image]);
  }

  await store.remove(imageId);
  t.is((await store.findRegistryImage(commit.reference))?.imageId, undefined);
});

test('an image with a missing blob is not listed', async (t) => {
  const store = await openTestStore(t);
  const commit = await prepareRegistryImage(store, {});
  const refused = { code: 'STORE_CORRUPT', message: /blobs\/sha256/ };

  await t.throwsAsync(store.commitRegistryImage({ ...commit, blobs: [digestOf(Buffer.from('x'))] }), refused);
  await utimes(store.digestPath(commit.manifest.digest), 1, 1);
  await t.throwsAsync(store.commitRegistryImage(commit), refused);
  await rm(store.digestPath(commit.manifest.digest));
  await t.throwsAsync(store.commitRegistryImage(commit), refused);

  t.deepEqual(await Array.fromAsync(store.registryImages()), []);
});

test('a reference stands for the image that was committed last; the same manifest once more keeps all facts', async (t) => {
  const store = await openTestStore(t);
  const { imageId } = await commitBlob(store);
  const reference = 'docker.io/library/app:1';
  await putRegistryImage(store, { reference, content: 'a', imageId, verified: ['aa'], latest: true });

  const again = await putRegistryImage(store, { reference, content: 'a', source: 'https://elsewhere.example.com/' });
  t.like(again, { imageId, verified: ['aa'], latest: true });
  t.not(again.source, 'https://elsewhere.example.com/');

  const moved = await putRegistryImage(store, { reference, content: 'b' });
  t.like(moved, { verified: false, latest: false, imageId: undefined });
  t.deepEqual(await Array.fromAsync(store.registryImages()), [moved]);
  t.deepEqual(await store.registryImagesOf(again.manifest.digest), []);
});

test('a prefix of a digest resolves to it, unless several digests have it', async (t) => {
  const store = await openTestStore(t);
  const images = await Promise.all(
    Array.from({ length: 300 }, (_, at) => putRegistryImage(store, { content: String(at) })),
  );
  const digests = images.map(({ manifest }) => manifest.digest);
  const [digest = t.fail('none')] = digests;

  t.is(await store.resolveDigest(digest), digest);
  t.is(await store.resolveDigest(digest.slice(0, 30).toUpperCase().replace('SHA', 'sha')), digest);
  const [prefix, several] = [...Map.groupBy(digests, (one) => one.slice(0, 9))].find(([, all]) => all.length > 1) ?? [];
  const error = await t.throwsAsync(store.resolveDigest(prefix ?? ''));
  t.true(hasCode(error, 'ID_AMBIGUOUS') && error.details.candidates.length === several?.length);

  await t.throwsAsync(store.resolveDigest('sha256:1'), { code: 'ID_TOO_SHORT' });
  await t.throwsAsync(store.resolveDigest('sha512:12'), { code: 'REFERENCE_INVALID' });
  await t.throwsAsync(store.resolveDigest(`sha256:${'0'.repeat(40)}`), { code: 'NOT_IN_STORE' });

  t.is((await Array.fromAsync(store.registryImages())).length, 300);
  const rows = await Array.fromAsync(store.blobRows());
  t.deepEqual(
    rows.map((row) => row.digest),
    [...new Set(images.flatMap(({ blobs }) => blobs))].sort(),
  );
  t.true(rows.every(({ needed }) => needed));
  const loose = await putBytes(store, Buffer.from('loose'));
  const unneeded = (await Array.fromAsync(store.blobRows())).filter(({ needed }) => !needed);
  t.deepEqual(unneeded, [{ digest: loose, size: 5, isArchive: false, needed: false }]);
});

test('the last use is recorded by close at the latest', async (t) => {
  const store = await openTestStore(t);
  const { reference, lastUsedAtMs } = await putRegistryImage(store);
  while (Date.now() === lastUsedAtMs);
  store.touchRegistryImage(reference);
  await store.close();

  await using reader = await openStore({ dir: store.dir, readOnly: true });
  t.true(((await reader.findRegistryImage(reference))?.lastUsedAtMs ?? 0) > lastUsedAtMs);
});

test('a damaged blob is dropped, and the images that need it are unlisted; the others stay', async (t) => {
  const store = await openTestStore(t);
  const other = Buffer.from('another layer');
  const first = await putRegistryImage(store, { content: '1' });
  const second = await putRegistryImage(store, { content: '2' });
  const third = await putRegistryImage(store, { content: '3', layer: other });
  const shared = first.blobs.find((digest) => second.blobs.includes(digest));

  t.deepEqual(shared && (await store.dropBlob(shared)), [first.reference, second.reference]);

  t.deepEqual(await Array.fromAsync(store.registryImages()), [third]);
  t.false(shared !== undefined && existsSync(store.digestPath(shared)));
  t.true(await store.hasBlob(first.manifest.digest)); // until gc
});

test('a read-only store finds registry images and refuses to change them', async (t) => {
  const store = await openTestStore(t);
  const image = await putRegistryImage(store);
  await using reader = await openStore({ dir: store.dir, readOnly: true });
  const refused = { code: 'STORE_READ_ONLY' };

  t.deepEqual(await reader.findRegistryImage(image.reference), image);
  t.true(await reader.hasBlob(image.manifest.digest));
  await t.throwsAsync(reader.removeRegistryImage(image.reference), refused);
  await t.throwsAsync(reader.commitRegistryImage(image), refused);
  await t.throwsAsync(reader.writeOciIndex(), refused);
  await t.throwsAsync(reader.dropBlob(image.manifest.digest), refused);
  t.notThrows(() => reader.touchRegistryImage(image.reference));
});
