import { statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { collect } from '../../src/images/collect.ts';
import { imageRow, listImages, type ListRequest } from '../../src/images/list.ts';
import { removeImages } from '../../src/images/remove.ts';
import { resolveEntries, resolveEntry, resolveImage } from '../../src/images/resolve-image.ts';
import { catManifest, describeRegistryImage } from '../../src/images/show.ts';
import type { Store } from '../../src/store/store.ts';
import { damageFile } from '../helpers/damage.ts';
import { asJson, describe, putBytes, putRegistryImage } from '../helpers/registry-image.ts';
import { storeContext } from '../helpers/store-context.ts';
import { putImage } from '../helpers/stored.ts';

const pinned = `docker.io/library/app@sha256:${'0'.repeat(64)}`;

async function ids(store: Store, request?: ListRequest): Promise<readonly string[]> {
  return (await Array.fromAsync(listImages(store, request))).map(({ id }) => id);
}

test('registry images are listed among the others, in the requested order', async (t) => {
  const { store } = await storeContext(t);
  const b = await putRegistryImage(store, { reference: 'b.example.com/app:1', content: 'b' });
  await sleep(2);
  const c = await putImage(store, { name: 'c', size: 100_000 });
  await sleep(2);
  const a = await putRegistryImage(store, { reference: 'a.example.com/app:1', content: 'a longer one' });
  const all = [b.manifest.digest, c.imageId, a.manifest.digest] as const;
  t.deepEqual(await ids(store), all);
  t.deepEqual(await ids(store, { order: 'desc' }), all.toReversed());
  t.deepEqual(await ids(store, { sort: 'name' }), [all[2], all[0], all[1]]);
  t.deepEqual(await ids(store, { sort: 'size' }), [all[0], all[2], all[1]]);
});

test('a row has digest, reference and platform, and the name and labels of a converted image', async (t) => {
  const { store } = await storeContext(t);
  const made = await putImage(store, { name: 'registry-1.docker.io/library/app', version: '1' });
  const platform = { os: 'linux', architecture: 'arm64', variant: 'v8' };
  const { manifest, blobs } = await putRegistryImage(store, { content: '1', platform, imageId: made.imageId });
  const sizes = blobs.map((digest) => statSync(store.digestPath(digest)).size);
  const size = sizes.reduce((sum, bytes) => sum + bytes, made.size);
  const rows = (await Array.fromAsync(listImages(store))).map(imageRow);
  t.is(rows.length, 1);
  const [row] = rows;
  t.like(row, {
    imageID: manifest.digest,
    digest: manifest.digest,
    reference: 'docker.io/library/app:1',
    name: made.name,
    labels: { version: '1', os: 'linux', arch: 'aarch64' },
    platform,
    size,
    convertedTo: made.imageId,
    verified: false,
  });
});

test('a platform without an appc name is shown as the registry names it, an absent one not at all', async (t) => {
  const { store } = await storeContext(t);
  await putRegistryImage(store, { reference: pinned, platform: { os: 'windows', architecture: 'amd64' } });
  await putRegistryImage(store, { content: '2', platform: { os: '', architecture: '' } });
  const rows = (await Array.fromAsync(listImages(store))).map(imageRow);
  t.deepEqual(
    rows.map(({ labels }) => labels),
    [{ os: 'windows', arch: 'amd64' }, { version: '2' }],
  );
});

test('an image is found by its digest, by a prefix of it, and by every form of its reference', async (t) => {
  const { store } = await storeContext(t);
  const { manifest } = await putRegistryImage(store, { content: '1' });
  await putRegistryImage(store, { reference: pinned, content: 'pinned' });
  await putRegistryImage(store, { reference: 'localhost:5000/a/b:1', content: 'port' });
  for (const asked of [
    manifest.digest,
    manifest.digest.slice(0, 30),
    'docker.io/library/app:1',
    'docker://app:1',
    'docker://docker.io/library/app:1',
    `docker://app:1@${manifest.digest}`,
    'registry-1.docker.io/library/app:1',
  ]) {
    t.is((await resolveEntries(store, asked))[0]?.id, manifest.digest, asked);
  }
  t.is((await resolveEntry(store, 'docker://app:1')).id, manifest.digest);
  for (const asked of [pinned, `docker://${pinned}`, 'localhost:5000/a/b:1', 'docker://localhost:5000/a/b:1']) {
    t.is((await resolveEntry(store, asked)).kind, 'registry', asked);
  }
});

test('other tags, other digests, and names that begin with sha256 are not in the store', async (t) => {
  const { store } = await storeContext(t);
  await putRegistryImage(store, { content: '1' });
  for (const asked of [
    'docker://app:2',
    'docker.io/library/app:2',
    `docker://app:1@sha256:${'1'.repeat(64)}`,
    `sha256:${'1'.repeat(64)}`,
    'sha256:1.0',
  ]) {
    await t.throwsAsync(resolveEntry(store, asked), { code: 'NOT_IN_STORE' }, asked);
    await t.throwsAsync(resolveEntries(store, asked), { code: 'NOT_IN_STORE' }, asked);
  }
  await t.throwsAsync(resolveEntry(store, 'sha256:1'), { code: 'ID_TOO_SHORT' });
});

test('a name stands for the converted image first, a registry reference for the registry image first', async (t) => {
  const { store } = await storeContext(t);
  const name = 'registry.example.com/app';
  const { imageId } = await putImage(store, { name, version: '1' });
  const kept = await putRegistryImage(store, { reference: `${name}:1`, imageId });
  t.is((await resolveEntry(store, `${name}:1`)).id, imageId);
  t.is((await resolveEntry(store, `docker://${name}:1`)).id, kept.manifest.digest);
  t.is((await resolveImage(store, `docker://${name}:1`)).imageId, imageId);
  for (const asked of [name, imageId, imageId.slice(0, 20)])
    t.deepEqual(
      (await resolveEntries(store, asked)).map(({ id }) => id),
      [kept.manifest.digest],
    );
  await store.removeRegistryImage(kept.reference);
  t.is((await resolveEntry(store, `docker://${name}:1`)).id, imageId); // what is left of it
});

test('an index of which two platforms are kept stands for both of them, and for no single one', async (t) => {
  const { store } = await storeContext(t);
  const bytes = asJson({ manifests: [] });
  await putBytes(store, bytes);
  const index = describe('application/vnd.oci.image.index.v1+json', bytes);
  const [one, other] = [
    await putRegistryImage(store, { content: '1', index }),
    await putRegistryImage(store, { content: '2', index }),
  ];
  const error = await t.throwsAsync(resolveEntry(store, index.digest));
  t.true(hasCode(error, 'ID_AMBIGUOUS') && error.details.candidates.length === 2);
  t.is((await resolveEntries(store, index.digest)).length, 2);
  await store.removeRegistryImage(other.reference);
  const entry = await resolveEntry(store, index.digest);
  t.is(entry.id, one.manifest.digest);
  t.is(await catManifest(store, entry, { asked: index.digest }), bytes.toString());
  t.regex(await catManifest(store, entry), /"layers"/);
});

test('its description has all its references, its configuration and its layers; a damaged manifest is refused', async (t) => {
  const { store } = await storeContext(t);
  const image = await putRegistryImage(store, { reference: 'docker.io/library/app:1' });
  await putRegistryImage(store, { reference: 'docker.io/library/app:latest' });
  const { references, config, layers, manifest } = await describeRegistryImage(store, image);
  t.deepEqual(references, ['docker.io/library/app:1', 'docker.io/library/app:latest']);
  t.deepEqual(
    [image.manifest.digest, config?.digest, ...(layers ?? []).map(({ digest }) => digest)].sort(),
    image.blobs.toSorted(),
  );
  t.is(manifest.length, image.manifest.size);
  await damageFile(store.digestPath(image.manifest.digest), 'flip', 10);
  await t.throwsAsync(describeRegistryImage(store, image), { code: 'STORE_CORRUPT', message: /wrong hash/ });
});

test('a registry image and the image that it was converted to are used together', async (t) => {
  const { store } = await storeContext(t);
  const { imageId } = await putImage(store, { name: 'registry-1.docker.io/library/app', version: '1' });
  const kept = await putRegistryImage(store, { content: '1', imageId });
  await sleep(5);
  store.touch(imageId);
  const beforeMs = Date.now();
  for (
    let look = 0;
    look < 500 && (await store.findRegistryImage(kept.reference))?.lastUsedAtMs === kept.lastUsedAtMs;
    look += 1
  )
    await sleep(20);
  const [entry] = await Array.fromAsync(listImages(store));
  t.true((entry?.lastUsedAtMs ?? 0) > kept.lastUsedAtMs);
  const { images } = await collect(store, { nowMs: beforeMs, gracePeriodMs: beforeMs - kept.lastUsedAtMs - 1 });
  t.deepEqual(images, []);
});

for (const asked of ['docker://app:1', 'ID', 'digest'] as const) {
  test(`a registry image and the image that it was converted to are removed together: by ${asked}`, async (t) => {
    const { store } = await storeContext(t);
    const { imageId } = await putImage(store, { name: 'registry-1.docker.io/library/app', version: '1', size: 3000 });
    const kept = await putRegistryImage(store, { content: '1', imageId });
    const names = { 'docker://app:1': 'docker://app:1', ID: imageId, digest: kept.manifest.digest };
    const removals = await Array.fromAsync(removeImages(store, [names[asked]]));
    t.deepEqual(
      removals.map((removal) => (removal.kind === 'removed' ? [removal.entry.id, removal.bytes] : [])),
      [[kept.manifest.digest, kept.size]],
    );
    t.deepEqual(await ids(store), []);
    t.is(await store.getImage(imageId), undefined);
  });
}

test('an archive stays as long as another reference has been converted to it', async (t) => {
  const { store } = await storeContext(t);
  const { imageId } = await putImage(store, { name: 'registry-1.docker.io/library/app', version: '1' });
  const [one, other] = [
    await putRegistryImage(store, { content: '1', imageId }),
    await putRegistryImage(store, { reference: pinned, content: '1', imageId }),
  ];
  await Array.fromAsync(removeImages(store, [`docker://${one.reference}`]));
  t.deepEqual(await ids(store), [other.manifest.digest]);
  t.truthy(await store.getImage(imageId));
  await Array.fromAsync(removeImages(store, [imageId]));
  t.deepEqual([await ids(store), await store.getImage(imageId)], [[], undefined]);
});

test('the blobs that other images need stay when an image is removed', async (t) => {
  const { store } = await storeContext(t);
  const kept = await putRegistryImage(store, { content: '1' });
  const other = await putRegistryImage(store, { content: '2' });
  const [removal] = await Array.fromAsync(removeImages(store, [kept.manifest.digest]));
  const shared = kept.blobs.filter((digest) => other.blobs.includes(digest));
  t.true(removal?.kind === 'removed' && removal.bytes > 0 && removal.bytes < kept.size);
  t.deepEqual(await Promise.all(other.blobs.map((digest) => store.hasBlob(digest))), [true, true, true]);
  t.is(shared.length, 1);
});

test('a digest removes all its references, a reference only itself', async (t) => {
  const { store } = await storeContext(t);
  const tags = ['1', '2', '3'];
  const images = [];
  for (const tag of tags) images.push(await putRegistryImage(store, { reference: `docker.io/library/app:${tag}` }));
  const digest = images[0]?.manifest.digest ?? '';
  const first = await Array.fromAsync(removeImages(store, ['docker://app:2']));
  t.deepEqual(await ids(store), [digest, digest]);
  t.true(first[0]?.kind === 'removed' && first[0].bytes === 0);
  t.is((await Array.fromAsync(removeImages(store, [digest, 'docker://app:1']))).length, 2);
  t.deepEqual(await ids(store), []);
});

test('gc with a grace period removes unused registry images, too, and blobs that only these need', async (t) => {
  const { store } = await storeContext(t);
  const old = await putRegistryImage(store, { content: 'old' });
  await sleep(5);
  const used = await putRegistryImage(store, { content: 'used' });
  const request = { nowMs: used.lastUsedAtMs, gracePeriodMs: 1 };
  const dry = await collect(store, { ...request, dryRun: true });
  t.deepEqual([dry.images.map(({ id }) => id), dry.imageBytes], [[old.manifest.digest], old.size]);
  t.is((await ids(store)).length, 2);
  const { images, imageBytes } = await collect(store, request);
  t.deepEqual(
    images.map(({ id }) => id),
    [old.manifest.digest],
  );
  t.true(imageBytes > 0 && imageBytes < old.size); // the layer is shared
  t.deepEqual(await ids(store), [used.manifest.digest]);
  t.is((await Array.fromAsync(store.blobRows())).length, 3);
});
