import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

import test from 'ava';

import { parseDigest } from '../../../src/image/digest.ts';
import { registryLayout } from '../../../src/images/registry-layout.ts';
import { createApps } from '../../../src/index.ts';
import { putBuilt } from '../../helpers/attached.ts';
import { types } from '../../helpers/registry.ts';
import { openRegistryFetching } from '../../helpers/registry-fetching.ts';
import { namesInIndex, readIndexJson } from '../../helpers/registry-image.ts';

const run = promisify(execFile);

const whole = { platform: ['all'], keep: 'oci' } as const;

test('all platforms: the index is kept with everything in it, the tag names it, and skopeo copies all of it unchanged', async (t) => {
  const fetching = await openRegistryFetching(t, whole);
  const { index, images } = putBuilt(fetching.registry);
  const reference = fetching.reference('app:1');
  const outcome = await fetching.fetch(reference);
  t.like(outcome, { status: 'fetched', imageID: index.digest, digest: index.digest });
  t.deepEqual(
    outcome.platforms,
    images.map(({ platform }) => platform),
  );
  const { store } = fetching;
  await store.writeOciIndex();
  const name = reference.slice('docker://'.length);
  t.deepEqual(await namesInIndex(store.dir), [name]);
  t.is((await readIndexJson(store.dir))[0]?.digest, index.digest);

  const copy = join(fetching.directory, 'copy');
  await run('skopeo', ['--insecure-policy', 'copy', '--quiet', '--all', `oci:${store.dir}:${name}`, `dir:${copy}`]);
  const { stdout } = await run('sha256sum', [join(copy, 'manifest.json')]);
  t.is(`sha256:${stdout.split(' ')[0] ?? ''}`, index.digest);
});

test('all platforms: an image that is there is not asked for again', async (t) => {
  const fetching = await openRegistryFetching(t, whole);
  const { index } = putBuilt(fetching.registry);
  await fetching.fetch(fetching.reference('app:1'));
  const asked = fetching.asked('');
  t.like(await fetching.fetch(fetching.reference('app:1')), { status: 'present', imageID: index.digest });
  t.is(fetching.asked(''), asked);
});

test('all platforms: an index in an index, artifacts and blobs that are no images come along; a single image is kept as it is', async (t) => {
  const fetching = await openRegistryFetching(t, whole);
  const { registry, fetch, reference, blobs } = fetching;
  const { index: inner } = putBuilt(fetching.registry, 'app', 'inner');
  const chart = registry.putManifest('app', undefined, {
    schemaVersion: 2,
    mediaType: types.manifest,
    artifactType: 'application/vnd.example.chart',
    config: registry.putBlob('app', '{}', 'application/vnd.oci.empty.v1+json'),
    layers: [registry.putBlob('app', 'a chart', 'application/vnd.example.chart.content')],
  });
  const outer = { schemaVersion: 2, mediaType: types.index, manifests: [inner, chart] };
  const { digest } = registry.putManifest('app', 'outer', outer, types.index);
  t.like(await fetch(reference('app:outer')), { status: 'fetched', imageID: digest });
  const kept = await blobs();
  const served = Object.keys(registry.routes).flatMap((path) => /sha256:[0-9a-f]{64}$/.exec(path)?.[0] ?? []);
  t.deepEqual(kept.toSorted(), [...new Set(served)].sort());

  const single = registry.putImage('app', 'single', { layers: ['single'] });
  const outcome = await fetch(reference('app:single'));
  t.like(outcome, { status: 'fetched', imageID: single.digest });
  t.is(outcome.platforms, undefined);
  t.like(await fetch(reference('app:single')), { status: 'present', imageID: single.digest });
});

test('all platforms: nothing is listed of an index of which a part fails, or that has more in it than the limits allow', async (t) => {
  const fetching = await openRegistryFetching(t, whole);
  const { registry, fetch, reference, kept } = fetching;
  const { attestations } = putBuilt(fetching.registry);
  const [missing] = attestations;
  delete registry.routes[`/v2/app/manifests/${missing?.digest ?? ''}`];
  t.like((await fetch(reference('app:1'))).error, { code: 'HTTP_STATUS' });

  let { index } = putBuilt(fetching.registry, 'deep', '0');
  for (let depth = 0; depth < 3; depth += 1) {
    const around = { schemaVersion: 2, mediaType: types.index, manifests: [index] };
    index = registry.putManifest('deep', String(depth + 1), around, types.index);
  }
  t.like((await fetch(reference('deep:3'))).error, { code: 'LIMIT_EXCEEDED', details: { limit: 'indexDepth' } });
  t.like(await fetch(reference('deep:2')), { status: 'fetched' });

  const [entry] = attestations;
  const many = Array.from({ length: 1024 }, (_, at) => ({
    ...entry,
    digest: `sha256:${String(at).padStart(64, '0')}`,
  }));
  registry.putManifest('many', '1', { schemaVersion: 2, mediaType: types.index, manifests: many }, types.index);
  t.like((await fetch(reference('many:1'))).error, { code: 'LIMIT_EXCEEDED', details: { limit: 'manifests' } });
  t.deepEqual(await kept(), [reference('deep:2').slice('docker://'.length)]);
});

test('all platforms: of a docker list an OCI index is named, and the list is kept as it came', async (t) => {
  const fetching = await openRegistryFetching(t, whole);
  const { registry, fetch, reference, store } = fetching;
  const manifests = ['amd64', 'arm64'].map((architecture) => {
    const { manifest } = registry.putImage('app', undefined, { architecture, layers: [architecture] });
    const docker = { ...manifest, mediaType: types.dockerManifest };
    const put = registry.putManifest('app', undefined, docker, types.dockerManifest);
    return { ...put, platform: { os: 'linux', architecture, 'os.version': '1' } };
  });
  const list = registry.putManifest('app', '1', { schemaVersion: 2, mediaType: types.list, manifests }, types.list);
  t.like(await fetch(reference('app:1')), { status: 'fetched', imageID: list.digest });
  await store.writeOciIndex();
  const [entry] = await readIndexJson(store.dir);
  t.like(entry, { mediaType: types.index });
  t.not(entry?.digest, list.digest);
  const name = reference('app:1').slice('docker://'.length);
  const copy = join(fetching.directory, 'copy');
  await run('skopeo', ['--insecure-policy', 'copy', '--quiet', '--all', `oci:${store.dir}:${name}`, `dir:${copy}`]);
  t.is((await store.registryImagesOf(parseDigest(list.digest))).length, 1);
});

test('one platform of an index that is kept whole is answered by the store, and listed by its digest', async (t) => {
  const fetching = await openRegistryFetching(t, whole);
  const { fetch, reference, asked, store } = fetching;
  const { index, images } = putBuilt(fetching.registry);
  await fetch(reference('app:1'));
  const before = asked('');
  const arm = { platform: ['linux/arm64'] };
  t.like(await fetch(reference('app:1'), arm), { status: 'present', imageID: images[1]?.digest });
  t.like(await fetch(reference('app:1'), arm), { status: 'present', imageID: images[1]?.digest });
  t.is(asked(''), before);
  await store.writeOciIndex();
  const name = reference('app').slice('docker://'.length);
  t.deepEqual(await namesInIndex(store.dir), [`${name}:1`, `${name}@${images[1]?.digest ?? ''}`]);
  t.like(await fetch(reference('app:1')), { status: 'present', imageID: index.digest });
  const missing = await fetch(reference('app:1'), { platform: ['linux/s390x'], storeOnly: true });
  t.like(missing.error, { code: 'PLATFORM_MISSING' });
});

test('several platforms: each manifest is named, the index is not, and its digest is the result', async (t) => {
  const several = { platform: ['linux/arm64', 'linux/amd64'], keep: 'oci' } as const;
  const fetching = await openRegistryFetching(t, several);
  const { fetch, reference, store } = fetching;
  const { index, images } = putBuilt(fetching.registry);
  const [amd, arm] = images;
  const plan = async () => (await fetching.finder().planImages(createApps([reference('app:1')]))).outcomes[0];
  t.like(await plan(), { status: 'absent', digest: index.digest });
  const outcome = await fetch(reference('app:1'));
  t.like(outcome, { status: 'fetched', imageID: index.digest, digest: index.digest });
  t.deepEqual(outcome.platforms, [arm?.platform, amd?.platform]);
  t.like(await fetch(reference('app:1')), { status: 'present', imageID: index.digest });
  t.like(await plan(), { status: 'present', digest: index.digest });
  await store.writeOciIndex();
  const named = await readIndexJson(store.dir);
  t.deepEqual(named.map(({ digest }) => digest).sort(), images.map(({ digest }) => digest).sort());
});

test('what was asked for by the digest of an index is named by the digest of its manifest, and found by either', async (t) => {
  const fetching = await openRegistryFetching(t, { keep: 'oci' });
  const { fetch, reference, store, asked } = fetching;
  const { index, images } = putBuilt(fetching.registry);
  const pinned = reference(`app@${index.digest}`);
  await fetch(pinned);
  await store.writeOciIndex();
  t.deepEqual(await namesInIndex(store.dir), [reference(`app@${images[0]?.digest ?? ''}`).slice('docker://'.length)]);
  const before = asked('');
  t.like(await fetch(pinned), { status: 'present', imageID: images[0]?.digest });
  t.like(await fetch(pinned, { storeOnly: true }), { status: 'present' });
  t.is(asked(''), before);
  for await (const image of store.registryImages()) {
    const { content } = (await registryLayout(store, image, 'oci')).find(({ name }) => name === 'index.json') ?? {};
    const text = content instanceof Uint8Array ? Buffer.from(content).toString() : '';
    t.deepEqual([text.includes(`@${images[0]?.digest ?? ''}`), text.includes(index.digest)], [true, false]);
  }
  await fetch(pinned, whole);
  await store.writeOciIndex();
  const [entry] = await readIndexJson(store.dir);
  t.is(entry?.digest, index.digest);
  t.deepEqual(await namesInIndex(store.dir), [pinned.slice('docker://'.length)]);
});

test('all platforms are kept as they came only, and stand alone', async (t) => {
  const fetching = await openRegistryFetching(t);
  for (const options of [{ platform: ['all'], keep: 'both' }, { platform: ['all', 'linux/arm64'] }] as const)
    t.like(
      t.throws(() => fetching.finder(options)),
      { code: 'USAGE' },
    );
});
