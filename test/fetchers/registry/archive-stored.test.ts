import { createHash } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';

import test, { type ExecutionContext } from 'ava';

import { createFinder, openStore } from '../../../src/internal.ts';
import { codesOf } from '../../helpers/fetching.ts';
import { types } from '../../helpers/registry.ts';
import { layerOf, openRegistryFetching } from '../../helpers/registry-fetching.ts';
import { temporaryDirectory } from '../../helpers/stored.ts';

/** A registry with an image of two layers, and a store that has it as it came. */
async function kept(t: ExecutionContext) {
  const fetching = await openRegistryFetching(t, { keep: 'oci' });
  const { registry, reference, fetch } = fetching;
  const layers = [await layerOf({ 'etc/a': 'a', 'etc/b': 'b' }), await layerOf({ 'etc/.wh.a': '', c: 'c' })];
  const { digest } = registry.putImage('app', '1', { layers });
  t.like(await fetch(reference('app:1')), { status: 'fetched', imageID: digest });
  return { ...fetching, digest, image: reference('app:1') };
}

for (const pullPolicy of ['new', 'never'] as const) {
  for (const keep of ['aci', 'both'] as const) {
    test(`${pullPolicy}, ${keep}: an archive that is missing is made of what is stored, without a request`, async (t) => {
      const { registry, fetch, store, digest, image } = await kept(t);
      const requests = registry.requests.length;
      const found = await fetch(image, { keep, pullPolicy });
      t.like(found, { status: 'present', digest, bytesDownloaded: 0, labels: { version: '1' } });
      t.regex(found.imageID ?? '', /^sha512-/);
      t.is(registry.requests.length, requests);
      const [row] = await store.registryImagesOf(found.imageID as never);
      t.is(row?.manifest.digest, digest as never);
      t.like(await fetch(image, { keep, pullPolicy }), { status: 'present', imageID: found.imageID });
      t.like(await fetch(image, { pullPolicy }), { status: 'present', imageID: digest });
    });
  }
}

test('the ID of an archive is the same whenever it is made, for each platform of an index too', async (t) => {
  const platform = ['linux/arm64', 'linux/amd64'];
  const { registry, reference, fetch, store } = await openRegistryFetching(t, { platform });
  const manifests = await Promise.all(
    ['amd64', 'arm64'].map(async (architecture) => ({
      ...registry.putImage('app', undefined, { layers: [await layerOf({ architecture })], architecture }),
      platform: { os: 'linux', architecture },
    })),
  );
  registry.putManifest('app', '1', { schemaVersion: 2, mediaType: types.index, manifests }, types.index);
  registry.putImage('plain', '2', { layers: [await layerOf({ c: 'c' })] });
  const ask = async (keep: 'aci' | 'oci' | 'both', dir: string) => {
    await using own = await openStore({ dir });
    const ids = [];
    for (const [name, one] of [
      ['app:1', 'linux/arm64'],
      ['app:1', 'linux/amd64'],
      ['plain:2', 'linux/amd64'],
    ] as const) {
      await using each = createFinder({ store: own, keep, platform: [one], insecure: { image: true, http: true } });
      ids.push(await each.findImage(reference(name)));
    }
    return ids;
  };
  const at = await temporaryDirectory(t);
  const now = await ask('both', `${at}/both`);
  t.deepEqual(await ask('aci', `${at}/aci`), now);
  await ask('oci', `${at}/later`);
  t.deepEqual(await ask('both', `${at}/later`), now);
  for (const id of now) {
    await using later = await openStore({ dir: `${at}/later` });
    const bytes = await readFile(later.blobPath(id as never));
    t.is(`sha512-${createHash('sha512').update(bytes).digest('hex')}`, id);
  }
  await fetch(reference('app:1'), { keep: 'oci' });
  t.is((await fetch(reference('app:1'))).imageID, now[0]);
  t.is((await store.registryImagesOf(now[1] as never)).length, 1, 'the further platform has its archive too');
});

for (const kind of ['docker', 'oci'] as const) {
  test(`an archive is made of one platform of an index that is kept with everything in it: ${kind}`, async (t) => {
    const { registry, reference, fetch, store } = await openRegistryFetching(t, { keep: 'oci' });
    const manifests = await Promise.all(
      ['amd64', 'arm64'].map(async (architecture) => {
        const { manifest, ...put } = registry.putImage('app', undefined, {
          layers: [await layerOf({ architecture })],
          architecture,
        });
        const docker = { ...manifest, mediaType: types.dockerManifest };
        const made = kind === 'oci' ? put : registry.putManifest('app', undefined, docker, types.dockerManifest);
        return { ...made, platform: { os: 'linux', architecture } };
      }),
    );
    const type = kind === 'oci' ? types.index : types.list;
    registry.putManifest('app', '1', { schemaVersion: 2, mediaType: type, manifests }, type);
    const image = reference('app:1');
    await fetch(image, { platform: ['all'] });
    const requests = registry.requests.length;
    const request = { platform: ['linux/arm64'], keep: 'both', pullPolicy: 'never' } as const;
    const found = await fetch(image, request);
    t.like(found, { status: 'present', digest: manifests[1]?.digest, labels: { version: '1', arch: 'aarch64' } });
    t.is((await store.registryImagesOf(found.imageID as never)).length, 1);
    t.like(await fetch(image, request), { status: 'present', imageID: found.imageID });
    t.is(registry.requests.length, requests);
  });
}

test('update asks the registry once more, and downloads no layer again', async (t) => {
  const { registry, fetch, digest, image, asked } = await kept(t);
  const blobs = asked('GET /v2/app/blobs/');
  t.like(await fetch(image, { keep: 'both', pullPolicy: 'update' }), { status: 'fetched', digest });
  t.is(asked('GET /v2/app/blobs/'), blobs);
  t.true(registry.requests.length > 0);
});

test('an image that is no longer whole is fetched again; where the network is not asked it is not there', async (t) => {
  const { fetch, store, digest, image } = await kept(t);
  const [row] = await store.registryImagesOf(digest as never);
  const layer = row?.blobs.find((blob) => blob !== digest) ?? '';
  await rm(store.digestPath(layer as never));
  t.deepEqual(codesOf(await fetch(image, { keep: 'both', pullPolicy: 'never' })), ['NOT_IN_STORE']);
  t.like(await fetch(image, { keep: 'both' }), { status: 'fetched', digest });
});

test('an image whose layers are no tars is refused as an archive, and stays as it came', async (t) => {
  const { registry, reference, fetch } = await openRegistryFetching(t, { keep: 'oci' });
  const { digest } = registry.putImage('app', '1', { layers: ['no tar at all'] });
  await fetch(reference('app:1'));
  for (const pullPolicy of ['new', 'never'] as const) {
    const { error } = await fetch(reference('app:1'), { keep: 'both', pullPolicy });
    t.like(error, { code: 'ARCHIVE_UNREADABLE', details: { keep: 'oci' } });
  }
  t.like(await fetch(reference('app:1')), { status: 'present', imageID: digest });
});

test('a store that cannot be written answers with what it has', async (t) => {
  const { store, digest, image } = await kept(t);
  await store.close();
  await using readOnly = await openStore({ dir: store.dir, readOnly: true });
  await using finder = createFinder({
    store: readOnly,
    keep: 'both',
    storeOnly: true,
    platform: ['linux/amd64'],
    insecure: { image: true },
  });
  t.is(await finder.findImage(image), digest as never);
});
