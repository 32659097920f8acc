import { readFile, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';

import test from 'ava';
import fc from 'fast-check';

import { ImageError } from '../../src/errors.ts';
import { isImageError, type Store } from '../../src/internal.ts';
import { buildTar, compress } from '../helpers/archive.ts';
import { blobsOf, hexOf, itemsOf, layoutOf, layoutOfImages, makeImage, named, tarOf } from '../helpers/carried.ts';
import { openImporting, statusOf, writeLayout } from '../helpers/importing.ts';
import { asJson, describe, digestOf } from '../helpers/registry-image.ts';

const one = await makeImage('one');
const two = await makeImage('two');
const both = layoutOfImages({ 'example.com/one:1': one, 'busybox:2': two });
const listedBoth = { 'example.com/one:1': one.manifest.digest, 'docker.io/library/busybox:2': two.manifest.digest };

test('images of an archive of OCI are kept under their names, however it is packed; again they are present', async (t) => {
  const tar = await tarOf(both);
  for (const bytes of [tar, gzipSync(tar), zstdCompressSync(tar), compress(tar, 'xz'), compress(tar, 'bzip2')]) {
    const { take, listed, blobs } = await openImporting(t);
    const fetched = ['docker://example.com/one:1 fetched', 'docker://docker.io/library/busybox:2 fetched'];
    t.deepEqual(statusOf(await take(bytes)), fetched);
    t.deepEqual(await listed(), listedBoth);
    const there = Object.keys({ ...one.blobs, ...two.blobs }).map((path) => path.replace('blobs/sha256/', 'sha256:'));
    t.deepEqual(await blobs(), there.sort());
    t.deepEqual(
      statusOf(await take(bytes)),
      fetched.map((line) => line.replace('fetched', 'present')),
    );
  }
});

test('of an import that finds the disk full nothing stays, not even what was being added meanwhile', async (t) => {
  const { take, blobs, store } = await openImporting(t);
  const [began, refused] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const adding: Promise<void>[] = [];
  const full: Store = {
    ...store,
    commitBlob(blob) {
      began.resolve();
      const added = refused.promise.then(() => store.commitBlob(blob));
      adding.push(added);
      return added;
    },
    async reserve() {
      await began.promise;
      setTimeout(refused.resolve, 100); // who does not wait for it has discarded the others by then
      throw new ImageError('STORE_FULL', 'no room', { path: store.dir });
    },
  };
  const large = Buffer.alloc(8 * 1024 * 1024); // for which room is asked
  const tar = await tarOf(both, [{ name: `blobs/sha256/${hexOf(large)}`, content: large }]);
  await t.throwsAsync(take(tar, { store: full }), { code: 'STORE_FULL' });
  await Promise.all(adding);
  t.true(adding.length > 0);
  t.deepEqual(await blobs(), []);
});

test('a layout in a directory is read as an archive is', async (t) => {
  const { take, listed, directory } = await openImporting(t);
  await take(await writeLayout(directory, both));
  t.deepEqual(await listed(), listedBoth);
});

test('of a layout only what its images consist of is read, and of one image of many only what that needs', async (t) => {
  const { take, listed, directory } = await openImporting(t);
  const layout = await writeLayout(directory, both);
  await symlink('/dev/zero', join(layout, 'blobs/sha256', 'f'.repeat(64)));
  await take(layout);
  t.deepEqual(await listed(), listedBoth);
  const other = await openImporting(t);
  const layer = join(layout, 'blobs/sha256', hexOf(two.packed));
  await rm(layer);
  await symlink('/dev/zero', layer);
  t.deepEqual(statusOf(await other.take(layout, { images: ['example.com/one:1'] })), [
    'docker://example.com/one:1 fetched',
  ]);
  await t.throwsAsync(other.take(layout), { code: 'FILE_UNREADABLE' } as object);
});

test('the order of the files in an archive does not matter', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.shuffledSubarray([...itemsOf(both)], { minLength: itemsOf(both).length }), async (items) => {
      const { take, listed } = await openImporting(t);
      await take(await buildTar(items));
      t.deepEqual(await listed(), listedBoth);
    }),
    { numRuns: 8 },
  );
});

test('nothing is listed of an archive that is cut, wherever that is; the whole one is imported afterwards', async (t) => {
  const { take, listed } = await openImporting(t);
  const tar = await tarOf(both);
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: tar.length - 1024 - 1 }), fc.boolean(), async (length, isPacked) => {
      const packed = gzipSync(tar);
      const cut = isPacked
        ? packed.subarray(0, Math.ceil((length * packed.length) / tar.length) - 1)
        : tar.subarray(0, length);
      const error = await t.throwsAsync(take(cut));
      t.regex(String(error && 'code' in error && error.code), /^ARCHIVE_/);
      t.deepEqual(await listed(), {});
    }),
    { numRuns: 25 },
  );
  await take(tar);
  t.deepEqual(await listed(), listedBoth);
});

test('an altered blob fails the images that need it, by name, and no others', async (t) => {
  const { take, listed } = await openImporting(t);
  const path = `blobs/sha256/${hexOf(two.packed)}`;
  const altered = Buffer.from(two.packed);
  altered[20] = (altered[20] ?? 0) ^ 1;
  const outcomes = await take(await tarOf({ ...both, [path]: altered }));
  t.deepEqual(statusOf(outcomes), [
    'docker://example.com/one:1 fetched',
    'docker://docker.io/library/busybox:2 DIGEST_MISMATCH',
  ]);
  t.deepEqual(await listed(), { 'example.com/one:1': one.manifest.digest });
});

test('of an archive in which any byte was altered only images are listed that are as they were', async (t) => {
  const tar = await tarOf(both);
  const digests: readonly string[] = Object.values(listedBoth);
  await fc.assert(
    fc.asyncProperty(fc.nat(tar.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
      const { take, listed, store } = await openImporting(t);
      const altered = Buffer.from(tar);
      altered[at] = (altered[at] ?? 0) ^ change;
      await take(altered).catch((error: unknown) => t.true(isImageError(error), String(error)));
      for (const digest of Object.values(await listed())) t.true(digests.includes(digest));
      for await (const { digest } of store.blobRows()) t.is(digestOf(await readFile(store.digestPath(digest))), digest);
      await store.close();
    }),
    { numRuns: 20 },
  );
});

test('an image that lacks a blob fails, unless the store has it', async (t) => {
  const { take } = await openImporting(t);
  const missing = `blobs/sha256/${hexOf(two.packed)}`;
  const partial = await buildTar(itemsOf(both).filter(({ name }) => name !== missing));
  t.deepEqual(statusOf(await take(partial)).at(-1), 'docker://docker.io/library/busybox:2 ARCHIVE_UNREADABLE');
  await take(await tarOf(layoutOfImages({ 'other:1': two })));
  t.deepEqual(statusOf(await take(partial)).at(-1), 'docker://docker.io/library/busybox:2 fetched');
});

test('two images of one name fail, and no others', async (t) => {
  const { take, listed } = await openImporting(t);
  const entries = [
    named('a:1', one.manifest),
    named('docker.io/library/a:1', two.manifest),
    named('b:1', two.manifest),
  ];
  const outcomes = await take(await tarOf(layoutOf(entries, one.blobs, two.blobs)));
  t.deepEqual(statusOf(outcomes), [
    'docker://docker.io/library/a:1 MANIFEST_INVALID',
    'docker://docker.io/library/b:1 fetched',
  ]);
  t.true(outcomes[0]?.error?.message.includes(two.manifest.digest));
  t.deepEqual(Object.keys(await listed()), ['docker.io/library/b:1']);
});

test('an archive that leads out of itself, or is ambiguous, is refused', async (t) => {
  const { take, listed, blobs } = await openImporting(t);
  const tar = await tarOf(both);
  const bad = {
    'a path with ..': await tarOf({ ...both, 'blobs/../../x': Buffer.from('x') }),
    'an absolute path': await tarOf({ ...both, '/etc/x': Buffer.from('x') }),
    'a symlink': await tarOf(both, [{ name: 'blobs/x', type: 'symlink', linkname: '/etc/passwd' }]),
    'a hard link': await tarOf(both, [{ name: 'blobs/x', type: 'link', linkname: 'index.json' }]),
    'a file twice': await tarOf(both, [{ name: 'index.json', content: asJson({ schemaVersion: 2, manifests: [] }) }]),
    'a layer of docker twice': await tarOf(both, [
      { name: 'layer.tar', content: 'x' },
      { name: './layer.tar', content: 'y' },
    ]),
    'bytes behind the end': Buffer.concat([tar, Buffer.alloc(512, 1)]),
  };
  for (const [what, bytes] of Object.entries(bad)) {
    await t.throwsAsync(take(bytes), { code: 'ARCHIVE_INVALID' } as object, what);
    t.deepEqual(await listed(), {}, what);
  }
  const before = await blobs();
  await take(
    await tarOf(both, [
      { name: 'README', content: 'x' },
      { name: 'x.tar', content: 'x' },
      { name: 'index.json', content: both['index.json'] ?? '' },
    ]),
  );
  t.deepEqual(await blobs(), before);
  t.deepEqual(await listed(), listedBoth);
});

test('an archive with more entries, longer paths or larger files than are allowed is refused', async (t) => {
  const { take, listed } = await openImporting(t);
  const junk = Array.from({ length: 100 }, (_, index) => ({ name: `junk/${index}`, content: 'x' }));
  const tar = await tarOf(both, junk);
  for (const limits of [{ entries: 100 }, { path: 60 }, { archive: 50 }, { header: 1 }]) {
    const bytes = 'header' in limits ? await tarOf(both, [{ name: `long/${'x'.repeat(300)}`, content: '' }]) : tar;
    await t.throwsAsync(take(bytes, { limits }), { code: 'LIMIT_EXCEEDED' } as object, JSON.stringify(limits));
    t.deepEqual(await listed(), {});
  }
  await take(tar);
  t.deepEqual(await listed(), listedBoth);
});

test('what is no archive of images is named', async (t) => {
  const { take } = await openImporting(t);
  await t.throwsAsync(take(await tarOf({ README: Buffer.from('x') })), {
    message: /: no archive of images: it has neither index.json \(OCI\) nor manifest.json/,
  });
  await t.throwsAsync(take(Buffer.from('<html></html>')), { message: /: not an archive of images but HTML/ });
  await t.throwsAsync(take(Buffer.from('')), { message: /: not an archive of images but empty/ });
});

test('one image of many is chosen by its name or its digest; what is not there fails', async (t) => {
  const { take, listed } = await openImporting(t);
  const tar = await tarOf(both);
  const images = ['busybox:2', 'docker://quay.io/none'];
  t.deepEqual(statusOf(await take(tar, { images })), [
    'docker://docker.io/library/busybox:2 fetched',
    'docker://quay.io/none NOT_IN_STORE',
  ]);
  t.deepEqual(Object.keys(await listed()), ['docker.io/library/busybox:2']);
  t.deepEqual(statusOf(await take(tar, { images: [one.manifest.digest.slice(0, 20)] })), [
    'docker://example.com/one:1 fetched',
  ]);
});

test('an image with only a tag, or without a name, is kept by its digest, or under the name that is given', async (t) => {
  const { take, listed, warnings } = await openImporting(t);
  const tar = await tarOf(layoutOf([named('v1', one.manifest), named(undefined, two.manifest)], one.blobs, two.blobs));
  await take(tar);
  t.deepEqual(await listed(), {
    [`unnamed.invalid/image@${one.manifest.digest}`]: one.manifest.digest,
    [`unnamed.invalid/image@${two.manifest.digest}`]: two.manifest.digest,
  });
  t.is(warnings.filter((line) => line.includes('kept by its digest')).length, 2);
  await take(tar, { as: 'example.com/app' });
  t.like(await listed(), { 'example.com/app:v1': one.manifest.digest, 'example.com/app:latest': two.manifest.digest });
});

test('an index is kept with all its platforms; one that lacks manifests, for those that are there', async (t) => {
  const arm = await makeImage('arm', { architecture: 'arm64' });
  const document = asJson({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [
      { ...one.manifest, platform: { os: 'linux', architecture: 'amd64' } },
      { ...arm.manifest, platform: { os: 'linux', architecture: 'arm64' } },
    ],
  });
  const index = describe('application/vnd.oci.image.index.v1+json', document);
  const entries = [named('example.com/multi:1', index)];
  const whole = await openImporting(t);
  await whole.take(await tarOf(layoutOf(entries, one.blobs, arm.blobs, blobsOf([document]))));
  t.deepEqual(await whole.listed(), { 'example.com/multi:1': index.digest });
  const partial = await openImporting(t);
  await partial.take(await tarOf(layoutOf(entries, arm.blobs, blobsOf([document]))));
  t.deepEqual(await partial.listed(), { 'example.com/multi:1': arm.manifest.digest });
  const asked = await openImporting(t);
  const tar = await tarOf(layoutOf(entries, one.blobs, arm.blobs, blobsOf([document])));
  await asked.take(tar, { platform: ['linux/amd64'] });
  t.deepEqual(await asked.listed(), { 'example.com/multi:1': one.manifest.digest });
  for (const bytes of [tar, await tarOf(layoutOfImages({ 'example.com/multi:1': one }))]) {
    const archives = await openImporting(t, { keep: 'both' });
    const [outcome] = await archives.take(bytes, { platform: bytes === tar ? ['linux/amd64'] : [] });
    t.regex(String(outcome?.imageID), /^sha512-/);
    t.deepEqual(await archives.listed(), { 'example.com/multi:1': one.manifest.digest });
  }
});
