import { existsSync } from 'node:fs';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import type { Digest } from '../../src/image/digest.ts';
import { openStore } from '../../src/store/open-store.ts';
import type { Store } from '../../src/store/store.ts';
import { openTestStore, storeDirectory } from '../helpers/blob.ts';
import { asJson, describe, digestOf, namesInIndex, putBytes, putRegistryImage } from '../helpers/registry-image.ts';
import { startStoreProcess } from '../helpers/store-process.ts';

const day = 24 * 60 * 60 * 1000;
const now = { nowMs: Date.now() + day / 2, partialsOlderThanMs: 0 };

function filesOf(store: Store): Promise<string[]> {
  return readdir(join(store.dir, 'blobs', 'sha256'));
}

/** What another tool wrote into the layout: no row tells of it. */
async function writeForeign(store: Store, bytes: Uint8Array): Promise<Digest> {
  const digest = digestOf(bytes);
  await writeFile(store.digestPath(digest), bytes);
  return digest;
}

async function nameForeign(store: Store, mediaType: string, bytes: Uint8Array): Promise<void> {
  const path = join(store.dir, 'index.json');
  const document = JSON.parse(await readFile(path, 'utf8')) as { readonly manifests: readonly unknown[] };
  const manifests = [...document.manifests, describe(mediaType, bytes)];
  await writeFile(path, JSON.stringify({ ...document, manifests }));
}

test('removing an image removes it from index.json and frees the blobs that nothing else needs', async (t) => {
  const store = await openTestStore(t);
  const [first, second] = [
    await putRegistryImage(store, { content: '1' }),
    await putRegistryImage(store, { content: '2' }),
  ];
  await store.writeOciIndex();
  const own = first.blobs.filter((digest) => !second.blobs.includes(digest));
  const sizes = await Promise.all(own.map(async (digest) => (await readFile(store.digestPath(digest))).length));

  const bytes = await store.removeRegistryImage(first.reference);

  t.is(
    bytes,
    sizes.reduce((sum, size) => sum + size),
  );
  t.deepEqual(await namesInIndex(store.dir), [second.reference]);
  t.deepEqual(
    (await filesOf(store)).map((name) => `sha256:${name}`),
    second.blobs.toSorted(),
  );
  t.deepEqual(
    (await Array.fromAsync(store.blobRows())).map(({ digest }) => digest),
    second.blobs.toSorted(),
  );
  await t.throwsAsync(store.removeRegistryImage(first.reference), { code: 'NOT_IN_STORE' });
});

test('a digest removes every image whose manifest it is', async (t) => {
  const store = await openTestStore(t);
  const [, { manifest }] = [
    await putRegistryImage(store, { reference: 'docker.io/library/app:1' }),
    await putRegistryImage(store, { reference: 'docker.io/library/app:latest' }),
  ];
  await store.removeRegistryImage(manifest.digest);
  t.deepEqual(await Array.fromAsync(store.registryImages()), []);
  t.deepEqual(await filesOf(store), []);
  await t.throwsAsync(store.removeRegistryImage(manifest.digest), { code: 'NOT_IN_STORE' });
});

test('gc removes the blobs of replaced images, and keeps those of listed ones', async (t) => {
  const store = await openTestStore(t);
  const reference = 'docker.io/library/app:1';
  const old = await putRegistryImage(store, { reference, content: 'old' });
  const image = await putRegistryImage(store, { reference, content: 'new' });

  const expected = { blobs: 2, partials: 0, temporaries: 0 }; // manifest and config; the layer is the same
  t.like(await store.collect({ ...now, partialsOlderThanMs: day, dryRun: true }), expected);
  t.true(await store.hasBlob(old.manifest.digest));
  t.like(await store.collect({ ...now, partialsOlderThanMs: day }), expected);

  t.deepEqual(await Promise.all(image.blobs.map((digest) => store.hasBlob(digest))), [true, true, true]);
  t.false(await store.hasBlob(old.manifest.digest));
  t.is((await Array.fromAsync(store.blobRows())).length, 3);
});

test('a blob that a living process has imported is kept until an image needs it or the process has ended', async (t) => {
  const dir = await storeDirectory(t);
  const other = startStoreProcess(t, ['putBlobThenWait', dir]);
  const digest = JSON.parse((await other.line()) ?? '') as Digest;
  await using store = await openStore({ dir });
  const mine = await putBytes(store, Buffer.from('mine'));

  await store.collect(now);
  t.deepEqual([await store.hasBlob(digest), await store.hasBlob(mine)], [true, true]);

  await other.kill();
  t.is((await store.collect(now)).blobs, 1);
  t.deepEqual([await store.hasBlob(digest), await store.hasBlob(mine)], [false, true]);
});

test('a file without a row is kept for as long as a partial download', async (t) => {
  const store = await openTestStore(t);
  const digest = await writeForeign(store, Buffer.from('another tool writes this'));
  t.is((await store.collect({ ...now, partialsOlderThanMs: day })).blobs, 0);
  t.is((await store.collect(now)).blobs, 1);
  t.false(existsSync(store.digestPath(digest)));
});

test('everything that other tools name is kept, down to the layers; other blobs are removed', async (t) => {
  const store = await openTestStore(t);
  const [layer, config] = [Buffer.from('layer'), asJson({ rootfs: {} })];
  const image = asJson({ config: describe('config', config), layers: [describe('layer', layer)] });
  const manifestType = 'application/vnd.docker.distribution.manifest.v2+json';
  const list = asJson({ manifests: [describe(manifestType, image)] });
  const foreign = await Promise.all([layer, config, image, list].map((bytes) => writeForeign(store, bytes)));
  await nameForeign(store, 'application/vnd.oci.image.index.v1+json', list);
  const ours = await putRegistryImage(store, { layer });
  await putBytes(store, layer);
  const stray = await writeForeign(store, Buffer.from('stray'));
  const named512 = join(store.dir, 'blobs', 'sha512', 'a'.repeat(128));
  await writeFile(named512, 'by sha512');
  const path = join(store.dir, 'index.json');
  await writeFile(path, (await readFile(path, 'utf8')).replace('[', `[{"digest":"sha512:${'a'.repeat(128)}"},`));

  await store.removeRegistryImage(ours.reference);
  t.is((await store.collect(now)).blobs, 1);

  t.deepEqual(
    foreign.map((digest) => existsSync(store.digestPath(digest))),
    [true, true, true, true],
  );
  t.true(existsSync(named512));
  t.false(existsSync(store.digestPath(stray)));
});

for (const [what, damage] of Object.entries<(store: Store, manifest: Digest) => Promise<void>>({
  'index.json': (store) => writeFile(join(store.dir, 'index.json'), '{'),
  'a manifest that it names': (store, manifest) => writeFile(store.digestPath(manifest), '{'),
})) {
  test(`when ${what} cannot be read, gc and removal leave every blob`, async (t) => {
    const store = await openTestStore(t);
    const bytes = asJson({ layers: [] });
    const manifest = await writeForeign(store, bytes);
    const { reference } = await putRegistryImage(store);
    await store.writeOciIndex();
    await nameForeign(store, 'application/vnd.oci.image.manifest.v1+json', bytes);
    await damage(store, manifest);
    const before = await filesOf(store);

    t.is(await store.removeRegistryImage(reference), 0);
    t.is((await store.collect(now)).blobs, 0);

    t.deepEqual(await filesOf(store), before);
  });
}

test('a blob that another tool collected is missing, not damage', async (t) => {
  const store = await openTestStore(t);
  const { reference, manifest, blobs } = await putRegistryImage(store);
  await rm(store.digestPath(manifest.digest));
  t.false(await store.hasBlob(manifest.digest));
  t.truthy(await store.findRegistryImage(reference));
  t.is((await store.collect(now)).blobs, 0);
  await store.removeRegistryImage(reference);
  t.deepEqual(await Promise.all(blobs.map((digest) => store.hasBlob(digest))), [false, false, false]);
  t.deepEqual(await Array.fromAsync(store.blobRows()), []);
});
