import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';

import test, { type ExecutionContext } from 'ava';

import { defaultLimits } from '../../src/image/limits.ts';
import { exportImage, exportToStream } from '../../src/images/export.ts';
import { extractImage, renderImage } from '../../src/images/extract.ts';
import { createFinder, openStore } from '../../src/internal.ts';
import { damageFile } from '../helpers/damage.ts';
import { describeTree } from '../helpers/describe-tree.ts';
import { types } from '../helpers/registry.ts';
import { layerOf, openRegistryFetching } from '../helpers/registry-fetching.ts';
import { putRegistryImage } from '../helpers/registry-image.ts';
import { sharedPool as pool } from '../helpers/shared-pool.ts';
import { storeContext } from '../helpers/store-context.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const never = new AbortController().signal;
const platform = ['linux/arm64', 'linux/amd64'];

function idOf(bytes: Uint8Array): string {
  return `sha512-${createHash('sha512').update(bytes).digest('hex')}`;
}

/** A store with an image for two platforms, as it came, and the IDs that its archives have in another store. */
async function fetched(t: ExecutionContext) {
  const { registry, reference, fetch, store, listed } = await openRegistryFetching(t, { keep: 'oci', platform });
  const manifests = await Promise.all(
    ['amd64', 'arm64'].map(async (architecture) => {
      const layers = [
        await layerOf({ 'etc/a': 'a', 'etc/b': architecture }),
        await layerOf({ 'etc/.wh.a': '', c: 'c' }),
      ];
      return {
        ...registry.putImage('app', undefined, { layers, architecture }),
        platform: { os: 'linux', architecture },
      };
    }),
  );
  registry.putManifest('app', '1', { schemaVersion: 2, mediaType: types.index, manifests }, types.index);
  await fetch(reference('app:1'));
  const other = await openStore({ dir: join(await temporaryDirectory(t), 'other') });
  t.teardown(() => other.close());
  const ids = new Map<string, string>();
  for (const one of platform) {
    await using finder = createFinder({ store: other, platform: [one], insecure: { image: true, http: true } });
    ids.set(one.slice('linux/'.length), await finder.findImage(reference('app:1')));
  }
  const images = await Array.fromAsync(store.registryImages());
  t.is(images.length, 2);
  const leftovers = async () =>
    (await readdir(join(store.dir, 'tmp'), { recursive: true })).filter((path) => /\/\d+$/.test(path));
  return { store, other, images, ids, leftovers, listed };
}

test('an archive that is exported is the one that a fetch would have made, and is not stored', async (t) => {
  const { store, images, ids, leftovers, listed } = await fetched(t);
  const dir = await temporaryDirectory(t);
  for (const image of images) {
    const id = ids.get(image.platform.architecture) ?? '';
    const target = join(dir, `${image.platform.architecture}.aci`);
    t.deepEqual(await exportImage({ store, pool }, { image, target, overwrite: false }, never), []);
    t.is(idOf(await readFile(target)), id);
    const output = new PassThrough();
    const received = buffer(output);
    await exportToStream({ store, pool }, { image, output }, never);
    output.end();
    t.is(idOf(await received), id);
  }
  t.deepEqual(await listed(), []);
  t.deepEqual([await leftovers(), (await readdir(dir)).length], [[], 2]);
});

test('of a store that cannot be written archives are made elsewhere', async (t) => {
  const { store, images, ids } = await fetched(t);
  await store.close();
  await using readOnly = await openStore({ dir: store.dir, readOnly: true });
  const [image] = images;
  if (!image) return t.fail();
  const target = join(await temporaryDirectory(t), 'app.aci');
  await exportImage({ store: readOnly, pool }, { image, target, overwrite: false }, never);
  t.is(idOf(await readFile(target)), ids.get(image.platform.architecture) ?? '');
});

test('extracted and rendered, an image that was not converted is the same tree as its archive', async (t) => {
  const { store, other, images, ids, leftovers, listed } = await fetched(t);
  const dir = await temporaryDirectory(t);
  const [image] = images;
  const archive = image && (await other.getImage(ids.get(image.platform.architecture) as never));
  if (!archive) return t.fail();
  const request = { overwrite: false, rootfsOnly: false, limits: defaultLimits };
  const here = { platform: process.platform, arch: process.arch };
  const at = (name: string): string => join(dir, name);
  await extractImage({ store: other, pool }, { ...request, image: archive, target: at('archive') }, never);
  await extractImage({ store, pool }, { ...request, image, target: at('extracted') }, never);
  await renderImage({ store, pool }, { ...request, image, target: at('rendered'), platform: here }, never);
  const tree = await describeTree(at('archive'));
  t.true(tree.length > 0);
  t.deepEqual(await describeTree(at('extracted')), tree);
  t.deepEqual(await describeTree(at('rendered')), tree);
  t.deepEqual([await leftovers(), await listed()], [[], []]);
});

for (const [damage, message] of [
  ['flip', /wrong hash/],
  ['unlink', /missing/],
] as const) {
  test(`of a damaged blob no archive is made, and nothing is left: ${damage}`, async (t) => {
    const { store } = await storeContext(t);
    const image = await putRegistryImage(store);
    const { layers } = JSON.parse(await readFile(store.digestPath(image.manifest.digest), 'utf8')) as {
      readonly layers: readonly { readonly digest: string }[];
    };
    await damageFile(store.digestPath((layers[0]?.digest ?? '') as never), damage, 5);
    const dir = await temporaryDirectory(t);
    const target = join(dir, 'app.aci');
    const request = { image, target, overwrite: false };
    await t.throwsAsync(exportImage({ store, pool }, request, never), { code: 'STORE_CORRUPT', message });
    const extraction = { ...request, target: join(dir, 'app'), rootfsOnly: true, limits: defaultLimits };
    await t.throwsAsync(extractImage({ store, pool }, extraction, never), { code: 'STORE_CORRUPT', message });
    t.deepEqual(await readdir(dir), []);
  });
}

test('an image whose layer is no tar is refused with its code', async (t) => {
  const { store } = await storeContext(t);
  const image = await putRegistryImage(store, { layer: Buffer.from('no tar at all') });
  const target = join(await temporaryDirectory(t), 'app.aci');
  await t.throwsAsync(exportImage({ store, pool }, { image, target, overwrite: false }, never), {
    code: 'ARCHIVE_UNREADABLE',
  });
});

test('an export that is stopped leaves nothing', async (t) => {
  const { store, images, leftovers } = await fetched(t);
  const [image] = images;
  if (!image) return t.fail();
  const dir = await temporaryDirectory(t);
  const stop = new AbortController();
  const exporting = exportImage(
    { store, pool },
    { image, target: join(dir, 'app.aci'), overwrite: false },
    stop.signal,
  );
  stop.abort(new Error('enough'));
  await t.throwsAsync(exporting, { message: 'enough' });
  t.deepEqual([await readdir(dir), await leftovers()], [[], []]);
});
