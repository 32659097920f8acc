import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { createApps } from '../../src/index.ts';
import { type BatchEvent, openKeystore } from '../../src/internal.ts';
import { codesOf } from '../helpers/fetching.ts';
import { types } from '../helpers/registry.ts';
import { layerOf, openRegistryFetching } from '../helpers/registry-fetching.ts';

const layers = async (text: string) => [await layerOf({ 'etc/hostname': text })];

test('an image is fetched once, stored as it is and as an archive, and then found in the store', async (t) => {
  const { registry, reference, fetch, store, kept, asked } = await openRegistryFetching(t);
  const image = registry.putImage('team/app', '1', { layers: await layers('1') });
  const first = await fetch(reference('team/app:1'));
  t.like(first, { status: 'fetched', digest: image.digest, source: reference('team/app:1'), latest: false });
  t.like(first.labels, { version: '1', os: 'linux', arch: 'amd64' });
  t.deepEqual(await kept(), [`${registry.host}/team/app:1`]);
  const row = await store.findRegistryImage(`${registry.host}/team/app:1`);
  t.is(row?.imageId, first.imageID as never);

  const requests = registry.requests.length;
  t.like(await fetch(reference('team/app:1')), { status: 'present', imageID: first.imageID, bytesDownloaded: 0 });
  t.like(await fetch(reference('team/app:1'), { pullPolicy: 'never' }), { status: 'present' });
  t.is(registry.requests.length, requests);
  t.is(asked('GET /v2/team/app/blobs/'), 2);
});

test('a reference without a tag is the latest', async (t) => {
  const { registry, reference, fetch } = await openRegistryFetching(t);
  registry.putImage('app', 'latest', { layers: await layers('1') });
  t.like(await fetch(reference('app')), { latest: true, labels: { version: 'latest' } });
});

test('update: a tag is checked by HEAD, and pulled if it has moved; a digest needs no request', async (t) => {
  const { registry, reference, fetch, asked } = await openRegistryFetching(t, { pullPolicy: 'update' });
  const { digest } = registry.putImage('app', '1', { layers: await layers('old') });
  const old = await fetch(reference('app:1'));
  t.like(await fetch(reference('app:1')), { status: 'present', imageID: old.imageID });
  t.deepEqual([asked('HEAD /v2/app/manifests/1'), asked('GET /v2/app/manifests/')], [1, 1]);

  const moved = registry.putImage('app', '1', { layers: await layers('new') });
  const now = await fetch(reference('app:1'));
  t.like(now, { status: 'fetched', digest: moved.digest });
  t.not(now.imageID, old.imageID);
  await fetch(reference(`app@${digest}`));
  const requests = registry.requests.length;
  t.like(await fetch(reference(`app@${digest}`)), { status: 'present', digest });
  t.is(registry.requests.length, requests);
});

test('under the policy never no request is sent', async (t) => {
  const { registry, reference, fetch } = await openRegistryFetching(t, { pullPolicy: 'never' });
  registry.putImage('app', '1', { layers: await layers('1') });
  t.deepEqual(codesOf(await fetch(reference('app:1'))), ['NOT_IN_STORE']);
  t.is(registry.requests.length, 0);
});

test('with keep oci nothing is converted, and the digest of the manifest is the ID', async (t) => {
  const { registry, reference, fetch, finder, listed, kept } = await openRegistryFetching(t, { keep: 'oci' });
  const { digest } = registry.putImage('app', '1', { layers: ['no tar at all'] });
  t.like(await fetch(reference('app:1')), { status: 'fetched', imageID: digest, digest });
  t.like(await fetch(reference('app:1')), { status: 'present', imageID: digest });
  t.deepEqual([await listed(), await kept()], [[], [`${registry.host}/app:1`]]);
  t.is(await finder().findImage(reference('app:1')), digest as never);
  const app = { image: reference('app:1') } as { image: string; imageID?: string };
  await finder().findImages([app as never]);
  t.is(app.imageID, digest);
});

test('with keep aci only the archive is listed, and its layers are kept for other images', async (t) => {
  const { registry, reference, fetch, listed, kept, asked, blobs } = await openRegistryFetching(t, { keep: 'aci' });
  const shared = await layers('1');
  registry.putImage('app', '1', { layers: shared });
  registry.putImage('app', '2', { layers: [...shared, ...(await layers('2'))] });
  const { imageID } = await fetch(reference('app:1'));
  t.like(await fetch(reference('app:1')), { status: 'present', imageID });
  t.deepEqual([(await listed()).length, await kept()], [1, []]);
  await fetch(reference('app:2'));
  t.is(asked('GET /v2/app/blobs/'), 4);
  t.is((await blobs()).length, 4); // and the manifests, as they came
});

test('under the policy never, an archive is the answer where the image is stored in no other form', async (t) => {
  const { registry, reference, fetch, asked } = await openRegistryFetching(t, { keep: 'oci' });
  const { digest } = registry.putImage('app', '1', { layers: await layers('1') });
  const { imageID } = await fetch(reference('app:1'), { keep: 'aci' });
  t.like(await fetch(reference('app:1'), { pullPolicy: 'never' }), { status: 'present', imageID, digest });
  t.like(await fetch(reference('app:1')), { status: 'fetched', imageID: digest, digest });
  t.like(await fetch(reference('app:1'), { pullPolicy: 'never' }), { status: 'present', imageID: digest });
  t.is(asked('GET /v2/app/blobs/'), 3); // the layer once; an archive needs no configuration afterwards
});

test('an image that is kept as it came belongs together with the archive that was made of it before', async (t) => {
  const { registry, reference, fetch, store } = await openRegistryFetching(t, { keep: 'oci' });
  registry.putImage('app', '1', { layers: await layers('1') });
  const { imageID } = await fetch(reference('app:1'), { keep: 'aci' });
  await fetch(reference('app:1'));
  t.is((await store.findRegistryImage(`${registry.host}/app:1`))?.imageId, imageID as never);
});

test('an image stored without conversion is converted later without downloading its layers again', async (t) => {
  const { registry, reference, fetch, asked } = await openRegistryFetching(t);
  registry.putImage('app', '1', { layers: await layers('1') });
  await fetch(reference('app:1'), { keep: 'oci' });
  t.regex((await fetch(reference('app:1'))).imageID ?? '', /^sha512-/);
  t.is(asked('GET /v2/app/blobs/'), 2);
});

for (const keep of ['aci', 'oci', 'both'] as const) {
  test(`bytesStored is what the images take on the disk, layers that several share once: keep ${keep}`, async (t) => {
    const { registry, reference, finder, store } = await openRegistryFetching(t, { keep });
    const shared = await layers('shared');
    for (const tag of ['1', '2', '3'])
      registry.putImage('app', tag, { layers: [...shared, ...(tag === '3' ? [] : await layers(tag))] });
    const sizes = new Map<string, number>();
    const onEvent = (event: BatchEvent) => event.type === 'ingested' && sizes.set(event.imageID, event.size);
    const { totals } = await finder({ onEvent }).findImages(
      createApps(['1', '2', '3', '3'].map((tag) => reference(`app:${tag}`))),
    );
    const bytesIn = async (path: string) => {
      const names = await readdir(join(store.dir, 'blobs', path)).catch(() => []);
      return (await Promise.all(names.map((name) => stat(join(store.dir, 'blobs', path, name))))).reduce(
        (sum, { size }) => sum + size,
        0,
      );
    };
    const [archives, blobs] = [await bytesIn('sha512'), await bytesIn('sha256')];
    t.is(totals.bytesStored, archives + (keep === 'aci' ? 0 : blobs));
    t.is([...sizes.keys()].filter((id) => id.startsWith('sha256:')).length, keep === 'aci' ? 0 : 3);
    for await (const image of store.registryImages()) {
      const archive = image.imageId === undefined ? 0 : (sizes.get(image.imageId) ?? 0);
      t.is(sizes.get(image.manifest.digest), image.size - archive);
    }
  });
}

test('the image for the requested platform is chosen, and its index stored; for several platforms, each', async (t) => {
  const { registry, reference, fetch, kept, store, listed } = await openRegistryFetching(t);
  const manifests = await Promise.all(
    ['amd64', 'arm64', 's390x'].map(async (architecture) => ({
      ...registry.putImage('app', undefined, { layers: await layers(architecture), architecture }),
      platform: { os: 'linux', architecture },
    })),
  );
  const document = { schemaVersion: 2, mediaType: types.index, manifests };
  const index = registry.putManifest('app', '1', document, types.index);
  const both = { platform: ['linux/arm64', 'linux/amd64'] };
  const found = await fetch(reference('app:1'), both);
  t.like(found, { status: 'fetched', digest: manifests[1]?.digest, labels: { arch: 'aarch64' } });
  const [one, other] = [`${registry.host}/app:1`, `${registry.host}/app@${manifests[0]?.digest ?? ''}`];
  t.deepEqual((await kept()).toSorted(), [one, other].toSorted());
  t.is((await store.findRegistryImage(one))?.index?.digest, index.digest as never);
  t.is((await listed()).length, 2);

  const requests = registry.requests.length;
  t.like(await fetch(reference('app:1'), both), { status: 'present', imageID: found.imageID });
  t.like(await fetch(reference('app:1'), { platform: ['linux/amd64'] }), {
    status: 'present',
    labels: { arch: 'amd64' },
  });
  t.is(registry.requests.length, requests);
});

test('the platform of the index is used if the configuration has no variant', async (t) => {
  const { registry, reference, fetch } = await openRegistryFetching(t, { platform: ['linux/arm/v6'], keep: 'oci' });
  const image = registry.putImage('app', undefined, { architecture: 'arm' });
  const manifests = [{ ...image, platform: { os: 'linux', architecture: 'arm', variant: 'v6' } }];
  registry.putManifest('app', '1', { schemaVersion: 2, manifests }, types.index);
  t.like(await fetch(reference('app:1')), { status: 'fetched', labels: { arch: 'armv6l' } });
  t.like(await fetch(reference('app:1')), { status: 'present' });
});

test('an image whose signatures cannot be checked is refused', async (t) => {
  const { registry, reference, fetch } = await openRegistryFetching(t, { keystore: await openKeystore({ dirs: [] }) });
  registry.putImage('app', '1', { layers: await layers('1') });
  t.deepEqual(codesOf(await fetch(reference('app:1'))), ['INSECURE_REFUSED']);
  t.is(registry.requests.length, 0);
  t.like(await fetch(reference('app:1'), { insecure: { image: true } }), { status: 'fetched' });
});

test('the digest of a stored index means the image for the platform', async (t) => {
  const both = ['linux/amd64', 'linux/arm64'];
  const { registry, reference, fetch } = await openRegistryFetching(t, { keep: 'oci', platform: both });
  const manifests = await Promise.all(
    ['amd64', 'arm64'].map(async (architecture) => {
      const { mediaType, digest, size } = registry.putImage('app', undefined, {
        architecture,
        layers: await layers('1'),
      });
      return { mediaType, digest, size, platform: { os: 'linux', architecture } };
    }),
  );
  const { digest } = registry.putManifest('app', '1', { schemaVersion: 2, manifests }, types.index);
  t.like(await fetch(reference('app:1')), { status: 'fetched' });
  for (const [at, platform] of both.entries())
    t.like(await fetch(digest, { platform: [platform] }), { imageID: manifests[at]?.digest });
});

test('the digest of a stored manifest is an ID', async (t) => {
  const { registry, reference, fetch, store } = await openRegistryFetching(t, { keep: 'oci' });
  const { digest, manifest } = registry.putImage('app', '1', { layers: await layers('1') });
  t.deepEqual(codesOf(await fetch(digest)), ['NOT_IN_STORE']);
  await fetch(reference('app:1'));
  t.like(await fetch(digest), { status: 'present', imageID: digest, labels: { version: '1' } });
  await rm(store.digestPath((manifest.layers[0]?.digest ?? '') as never));
  t.deepEqual(codesOf(await fetch(digest)), ['STORE_CORRUPT']);
});

test('layers are asked for while other images of the batch are not resolved yet', async (t) => {
  const { registry, reference, fetchAll } = await openRegistryFetching(t, { keep: 'oci', jobsPerHost: 2 });
  const tags = Array.from({ length: 12 }, (_, index) => String(index));
  for (const tag of tags) registry.putImage('app', tag, { layers: [`layer ${tag}`] });
  await fetchAll(tags.map((tag) => reference(`app:${tag}`)));
  const kinds = registry.requests.flatMap(({ url }) => /\/(manifests|blobs)\//.exec(url)?.[1] ?? []);
  const before = kinds.slice(0, kinds.indexOf('blobs')).length;
  t.true(before <= 6, `${before} manifests before the first layer`);
  t.is(kinds.at(-1), 'blobs');
  t.true(kinds.lastIndexOf('manifests') > 12, 'manifests and blobs take turns');
});
