import { chmod, rename, symlink, utimes, writeFile } from 'node:fs/promises';

import test from 'ava';

import { codesOf } from '../helpers/fetching.ts';
import { layerOf, openRegistryFetching } from '../helpers/registry-fetching.ts';

const layers = async (text: string) => [await layerOf({ 'etc/hostname': text })];

test('blobs of a copied store are hashed once and used, also under the policy never', async (t) => {
  const { registry, reference, fetch, store } = await openRegistryFetching(t, { keep: 'oci' });
  registry.putImage('app', '1', { layers: await layers('1') });
  const first = await fetch(reference('app:1'));
  const requests = registry.requests.length;
  const { blobs = [] } = (await store.findRegistryImage(`${registry.host}/app:1`)) ?? {};
  t.is(blobs.length, 3);
  for (const digest of blobs) await utimes(store.digestPath(digest), 1, 1);

  const again = await fetch(reference('app:1'), { pullPolicy: 'never' });

  t.like(again, { status: 'present', imageID: first.imageID });
  t.is(registry.requests.length, requests);
  t.deepEqual(await Promise.all(blobs.map((digest) => store.hasBlob(digest))), [true, true, true]);
});

test('only a blob that was changed, or replaced by a symlink, is fetched again', async (t) => {
  const { registry, reference, fetch, store, asked } = await openRegistryFetching(t, { keep: 'oci' });
  const [layer = Buffer.alloc(0)] = await layers('1');
  registry.putImage('app', '1', { layers: [layer] });
  await fetch(reference('app:1'));
  const image = await store.findRegistryImage(`${registry.host}/app:1`);
  const rows = await Array.fromAsync(store.blobRows());
  const { digest } = rows.find(({ size }) => size === layer.length) ?? t.fail('no layer');
  const path = store.digestPath(digest);
  for (const harm of [
    async () => {
      await chmod(path, 0o644);
      await writeFile(path, Buffer.alloc(layer.length, 'x'));
    },
    async () => {
      await rename(path, `${path}.elsewhere`);
      await symlink(`${path}.elsewhere`, path);
    },
  ]) {
    await harm();
    t.deepEqual(codesOf(await fetch(reference('app:1'), { pullPolicy: 'never' })), ['NOT_IN_STORE']);
    const before = asked('GET /v2/app/blobs/');
    t.like(await fetch(reference('app:1')), { status: 'fetched', digest: image?.manifest.digest });
    t.is(asked('GET /v2/app/blobs/') - before, 1);
    t.true(await store.hasBlob(digest));
  }
});
