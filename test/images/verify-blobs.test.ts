import { existsSync } from 'node:fs';
import { readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setImmediate } from 'node:timers/promises';

import test from 'ava';

import type { Entry } from '../../src/images/list.ts';
import { type Damage, verifyImages, type VerifyReport } from '../../src/images/verify.ts';
import type { Repair } from '../../src/images/verify-blobs.ts';
import { damageFile, type DamageKind } from '../helpers/damage.ts';
import { namesInIndex, putBytes, putRegistryImage } from '../helpers/registry-image.ts';
import { storeContext } from '../helpers/store-context.ts';
import { putImage } from '../helpers/stored.ts';

const never = new AbortController().signal;
type Context = Awaited<ReturnType<typeof storeContext>>;

function verify(context: Context, repair?: Repair): Promise<VerifyReport> {
  const { store } = context;
  const request = { images: store.images(), blobs: store.blobRows(), width: 3, ...(repair && { repair }) };
  return verifyImages(context, request, never);
}

function summary(damage: Damage): readonly unknown[] {
  const id = damage.kind === 'blob' ? damage.digest : damage.image.imageId;
  return [id, damage.problem, damage.repaired];
}

test('registry blobs are read as well as images', async (t) => {
  const context = await storeContext(t);
  const image = await putImage(context.store, { name: 'example.com/app', size: 4000 });
  const { size } = await putRegistryImage(context.store);
  const report = await verify(context);
  t.like(report, { checked: 4, checkedBlobs: 3, bytes: image.size + size, unreferenced: 0 });
  t.deepEqual(report.damaged, []);
});

for (const [kind, problem] of [
  ['flip', 'wrong hash'],
  ['cut', 'wrong size'],
  ['unlink', 'missing'],
] as const satisfies readonly (readonly [DamageKind, string])[]) {
  test(`a blob after ${kind} is reported by its digest, with the images that need it, and nothing changes`, async (t) => {
    const context = await storeContext(t);
    const { store } = context;
    const [one, other] = [
      await putRegistryImage(store, { content: '1', layer: Buffer.alloc(500) }),
      await putRegistryImage(store, { content: '2', layer: Buffer.alloc(500) }),
    ];
    const shared = one.blobs.find((digest) => other.blobs.includes(digest));
    if (!shared) return t.fail();
    await damageFile(store.digestPath(shared), kind);
    const { damaged } = await verify(context);
    t.deepEqual(damaged.map(summary), [[shared, problem, false]]);
    t.deepEqual(damaged[0]?.kind === 'blob' && damaged[0].images, [one, other]);
    t.is((await Array.fromAsync(store.registryImages())).length, 2);
  });
}

test('a repair unlists the images that need a damaged blob, also in index.json, and keeps the others', async (t) => {
  const context = await storeContext(t);
  const { store } = context;
  const bad = await putRegistryImage(store, { content: 'bad' });
  const good = await putRegistryImage(store, { content: 'good' });
  await damageFile(store.digestPath(bad.manifest.digest), 'flip');
  const { damaged } = await verify(context, { nowMs: Date.now() });
  t.deepEqual(damaged.map(summary), [[bad.manifest.digest, 'wrong hash', false]]);
  t.deepEqual(await Array.fromAsync(store.registryImages()), [good]);
  t.deepEqual(await namesInIndex(store.dir), [good.reference]);
  t.like(await verify(context), { checked: 3, damaged: [], unreferenced: 0 });
});

test('an image is fetched again once, after all its damaged blobs were removed, and then counts as repaired', async (t) => {
  const context = await storeContext(t);
  const { store } = context;
  const options = { content: 'app', layer: Buffer.alloc(700) };
  const image = await putRegistryImage(store, options);
  for (const digest of image.blobs) await damageFile(store.digestPath(digest), 'flip');
  let count = 0;
  const refetch = async (entry: Entry): Promise<boolean> => {
    count += 1;
    t.is(entry.kind === 'registry' && entry.image.reference, image.reference);
    t.is(await store.findRegistryImage(image.reference), undefined);
    t.false(image.blobs.some((digest) => existsSync(store.digestPath(digest))));
    await putRegistryImage(store, options);
    return true;
  };
  const { damaged } = await verify(context, { nowMs: Date.now(), refetch });
  t.is(count, 1);
  t.deepEqual(
    damaged.map(({ repaired }) => repaired),
    [true, true, true],
  );
  t.like(await verify(context), { checked: 3, damaged: [] });
});

test('a reference that stands for another image by now is not repaired', async (t) => {
  const context = await storeContext(t);
  const { store } = context;
  const reference = 'docker.io/library/app:1';
  const old = await putRegistryImage(store, { reference, content: 'old' });
  await damageFile(store.digestPath(old.manifest.digest), 'flip');
  const refetch = async (): Promise<boolean> => {
    await putRegistryImage(store, { reference, content: 'new' });
    return true;
  };
  const { damaged } = await verify(context, { nowMs: Date.now(), refetch });
  t.deepEqual(damaged.map(summary), [[old.manifest.digest, 'wrong hash', false]]);
});

test('a blob that no image needs is unreferenced; a damaged one is removed by a repair; a missing one is not reported', async (t) => {
  const context = await storeContext(t);
  const { store } = context;
  const [loose, gone] = [await putBytes(store, Buffer.alloc(300, 'l')), await putBytes(store, Buffer.alloc(300, 'g'))];
  await damageFile(store.digestPath(gone), 'unlink');
  t.like(await verify(context), { checked: 1, damaged: [], unreferenced: 1 });
  await damageFile(store.digestPath(loose), 'flip');
  t.deepEqual((await verify(context)).damaged.map(summary), [[loose, 'wrong hash', false]]);
  t.deepEqual((await verify(context, { nowMs: Date.now() })).damaged.map(summary), [[loose, 'wrong hash', true]]);
  t.deepEqual((await verify(context)).damaged, []);
});

test('a file is kept that is what its name says and of another size than the index has; an image is listed again from it', async (t) => {
  const context = await storeContext(t);
  const { store } = context;
  const image = await putImage(store, { name: 'example.com/app', size: 4000 });
  const { blobs } = await putRegistryImage(store);
  {
    using db = new DatabaseSync(join(store.dir, 'index.sqlite'));
    db.exec('UPDATE images SET size = -1; UPDATE blobs SET size = size + 1');
  }
  await setImmediate(); // what is read in one turn is one state of the index
  const { damaged } = await verify(context, { nowMs: Date.now() });
  t.deepEqual(new Set(damaged.map(({ problem }) => problem)), new Set(['wrong size']));
  t.deepEqual((await readdir(join(store.dir, 'blobs/sha256'))).length, blobs.length);
  t.like(await store.getImage(image.imageId), { size: image.size, verified: false });
  t.is(await store.blobState(image.imageId), 'intact');
});

test('a repair records a sound blob whose times changed, so that the next fetch uses it', async (t) => {
  const context = await storeContext(t);
  const { store } = context;
  const { manifest } = await putRegistryImage(store);
  await utimes(store.digestPath(manifest.digest), 1, 1);
  t.false(await store.hasBlob(manifest.digest));
  t.deepEqual((await verify(context)).damaged, []);
  t.false(await store.hasBlob(manifest.digest));
  await verify(context, { nowMs: Date.now() });
  t.true(await store.hasBlob(manifest.digest));
});

test('a repair writes index.json again, and sets one aside that cannot be read', async (t) => {
  const context = await storeContext(t);
  const { store } = context;
  const { reference } = await putRegistryImage(store);
  const path = join(store.dir, 'index.json');
  await store.writeOciIndex();
  await writeFile(path, '{"schemaVersion":2,"manifests":[]}');
  t.false((await verify(context, { nowMs: 1 })).ociIndexSetAside);
  t.deepEqual(await namesInIndex(store.dir), [reference]);
  await writeFile(path, 'no JSON');
  t.false((await verify(context)).ociIndexSetAside);
  t.is(await readFile(path, 'utf8'), 'no JSON');
  t.true((await verify(context, { nowMs: 7 })).ociIndexSetAside);
  t.deepEqual(await namesInIndex(store.dir), [reference]);
  t.true((await readdir(store.dir)).includes('index.json.damaged-7'));
});
