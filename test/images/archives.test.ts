import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { type Entry, imageEntry, imageRow } from '../../src/images/list.ts';
import { relistImages } from '../../src/images/relist.ts';
import { type Damage, verifyImages, type VerifyReport } from '../../src/images/verify.ts';
import type { Repair } from '../../src/images/verify-blobs.ts';
import { openStore } from '../../src/store/open-store.ts';
import type { Store } from '../../src/store/store.ts';
import { buildAci } from '../helpers/archive.ts';
import { damageFile } from '../helpers/damage.ts';
import { openFetching } from '../helpers/fetching.ts';
import { digestOf, putRegistryImage } from '../helpers/registry-image.ts';
import { sharedPool as pool } from '../helpers/shared-pool.ts';

const never = new AbortController().signal;
const nowMs = Date.now();

/** A store with one image that has its archive. */
async function archived(t: ExecutionContext) {
  const { fetch, store, directory } = await openFetching(t, { keepArchives: true });
  const aci = await buildAci({ name: 'example.com/app', version: '1', size: 5_000, compress: 'gzip' });
  const file = join(directory, 'app.aci');
  await writeFile(file, aci.bytes);
  t.like(await fetch(file), { status: 'fetched' });
  const digest = digestOf(aci.bytes);
  return { store, fetch, file, digest, path: store.digestPath(digest), packed: aci.bytes.length, ...aci };
}

function verify(store: Store, repair?: Repair): Promise<VerifyReport> {
  const request = { images: store.images(), blobs: store.blobRows(), width: 2, ...(repair && { repair }) };
  return verifyImages({ store, pool }, request, never);
}

function summary(damage: Damage): readonly unknown[] {
  const id = damage.kind === 'blob' ? damage.digest : damage.image.imageId;
  return [id, damage.problem, damage.repaired];
}

test('the size of an image is what the disk holds of it, and what its removal frees', async (t) => {
  const { store, imageId, digest, packed, tar } = await archived(t);
  const image = (await store.getImage(imageId)) ?? t.fail('none');
  const { size, archive } = imageRow(imageEntry(image));
  t.deepEqual({ size, archive }, { size: tar.length + packed, archive: { digest, size: packed } });
  const converted = await putRegistryImage(store, { imageId });
  const without = await putRegistryImage(store, { content: 'same size' });
  t.true(converted.size - without.size >= tar.length + packed - 100);
  t.is(await store.remove(imageId), size);
});

test('archives are read as well as images', async (t) => {
  const { store, packed, tar } = await archived(t);
  const report = await verify(store);
  t.like(report, { checked: 2, checkedBlobs: 1, checkedArchives: 1, bytes: tar.length + packed, unreferenced: 0 });
  t.deepEqual(report.damaged, []);
});

for (const [kind, problem] of [
  ['flip', 'wrong hash'],
  ['unlink', 'missing'],
] as const) {
  test(`an archive after ${kind} is reported with its image, which is sound; a repair fetches it again`, async (t) => {
    const { store, imageId, digest, path, fetch, file } = await archived(t);
    await damageFile(path, kind);
    const { damaged } = await verify(store);
    t.deepEqual(damaged.map(summary), [[digest, problem, false]]);
    t.like(damaged[0], { images: [], archiveOf: [{ imageId }] });

    const failing = await verify(store, { nowMs, refetch: () => Promise.resolve(false) });
    t.deepEqual(failing.damaged.map(summary), [[digest, problem, false]]);
    t.is((await store.getImage(imageId))?.archive, undefined);
    t.false(existsSync(path));

    await fetch(file);
    await damageFile(path, kind);
    const asked: Entry[] = [];
    const refetch = async (entry: Entry): Promise<boolean> => {
      asked.push(entry);
      return (await fetch(file)).status === 'fetched';
    };
    t.deepEqual((await verify(store, { nowMs, refetch })).damaged.map(summary), [[digest, problem, true]]);
    t.like(asked, [{ id: imageId, image: { archive: { digest } } }]);
    t.deepEqual((await verify(store)).damaged, []);
  });
}

test('a damaged image is made again of its archive, and nobody is asked', async (t) => {
  const { store, imageId } = await archived(t);
  const before = await store.getImage(imageId);
  await damageFile(store.blobPath(imageId), 'flip');
  const refetch = () => Promise.reject(new Error('asked'));
  t.deepEqual((await verify(store, { nowMs, refetch })).damaged.map(summary), [[imageId, 'wrong hash', true]]);
  t.deepEqual((await verify(store)).damaged, []);
  const after = await store.getImage(imageId);
  t.deepEqual({ ...after, importedAtMs: 0, lastUsedAtMs: 0 }, { ...before, importedAtMs: 0, lastUsedAtMs: 0 });
});

test('if both are damaged, the image is taken off the list', async (t) => {
  const { store, imageId, path } = await archived(t);
  await damageFile(store.blobPath(imageId), 'flip');
  await damageFile(path, 'flip');
  const { damaged } = await verify(store, { nowMs, refetch: () => Promise.resolve(false) });
  t.is(damaged.length, 2);
  t.is(await store.getImage(imageId), undefined);
});

test('after the index is lost, an image has its archive again, and another file stays', async (t) => {
  const { store, imageId, digest, packed } = await archived(t);
  const other = digestOf(Buffer.from('other'));
  await writeFile(store.digestPath(other), 'other');
  await store.close();
  await rm(join(store.dir, 'index.sqlite'));
  await using repaired = await openStore({ dir: store.dir, relisting: true });
  const { kept } = await relistImages({ store: repaired, pool }, 2, never);
  t.deepEqual(kept, [repaired.digestPath(other)]);
  t.like(await repaired.archiveOf(imageId), { digest, size: packed, compression: 'gzip', signatures: [] });
  await repaired.collect({ nowMs: nowMs + 1e9, partialsOlderThanMs: 0 });
  t.true(existsSync(repaired.digestPath(digest)));
  t.like(await verify(repaired), { checked: 2, damaged: [] });
});
