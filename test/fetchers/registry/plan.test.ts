import test from 'ava';

import { createApps } from '../../../src/index.ts';
import { putAttached, serveReferrers } from '../../helpers/attached.ts';
import { types } from '../../helpers/registry.ts';
import { layerOf, openRegistryFetching } from '../../helpers/registry-fetching.ts';

test('blobs that two images or two platforms share are counted once in the totals', async (t) => {
  const { registry, reference, finder } = await openRegistryFetching(t, { platform: ['linux/amd64', 'linux/arm64'] });
  const shared = await layerOf({ a: '1' });
  const own = await layerOf({ b: '22' });
  const sizeOf = ({ manifest }: { readonly manifest: { readonly config: { readonly size: number } } }) =>
    manifest.config.size;
  const putIndex = (tag: string, layers: readonly Uint8Array[]): number => {
    const images = ['amd64', 'arm64'].map((architecture) => ({
      ...registry.putImage('app', undefined, { layers, architecture }),
      platform: { os: 'linux', architecture },
    }));
    registry.putManifest('app', tag, { schemaVersion: 2, manifests: images }, types.index);
    return images.reduce((sum, image) => sum + sizeOf(image), 0);
  };
  const [first, second] = [putIndex('1', [shared]), putIndex('2', [shared, own])];
  const { outcomes, totals } = await finder().planImages(createApps([reference('app:1'), reference('app:2')]));
  t.deepEqual(
    outcomes.map(({ bytesToFetch }) => bytesToFetch),
    [first + shared.length, second + shared.length + own.length],
  );
  t.is(totals.bytesToFetch, first + second + shared.length + own.length);
});

test('a plan has digest and bytes from the manifest, without the bytes that the store has', async (t) => {
  const { registry, reference, finder, fetch, asked, kept } = await openRegistryFetching(t);
  const shared = await layerOf({ a: '1' });
  registry.putImage('app', '1', { layers: [shared] });
  const other = registry.putImage('app', '2', { layers: [shared, await layerOf({ b: '2' })] });
  const sizes = [other.manifest.config, ...other.manifest.layers].map(({ size }) => size);
  const plan = async (name: string, pullPolicy: 'new' | 'update' | 'never' = 'new') => {
    await using planner = finder({ pullPolicy });
    const { outcomes, totals } = await planner.planImages(createApps([reference(name)]));
    const [outcome] = outcomes;
    if (!outcome) throw new Error('no outcome');
    return { ...outcome, totals };
  };

  const { totals, ...absent } = await plan('app:2');
  t.like(absent, { status: 'absent', digest: other.digest, source: reference('app:2'), needs: [] });
  t.is(
    absent.bytesToFetch,
    sizes.reduce((sum, size) => sum + size),
  );
  t.like(totals, { bytesToFetch: absent.bytesToFetch, unknownSizes: 0, unknownDependencies: 0 });
  t.deepEqual([asked('GET /v2/app/blobs/'), await kept()], [0, []]);

  const { imageID } = await fetch(reference('app:1'));
  t.is((await plan('app:2')).bytesToFetch, (absent.bytesToFetch ?? 0) - shared.length);
  t.like(await plan('app:1'), { status: 'present', imageID: imageID ?? '' });
  t.like(await plan('app:1', 'update'), { status: 'present', imageID: imageID ?? '' });
  const moved = registry.putImage('app', '1', { layers: [await layerOf({ c: '3' })] });
  t.like(await plan('app:1', 'update'), { status: 'absent', digest: moved.digest });
  t.like(await plan('app:2', 'never'), { status: 'failed', error: { code: 'NOT_IN_STORE' } });
});

test('a plan with referrers counts what is attached, as far as the store lacks it', async (t) => {
  const { registry, reference, finder, fetch } = await openRegistryFetching(t, { keep: 'oci' });
  const image = registry.putImage('app', '1', { layers: [await layerOf({ a: '1' })] });
  const sbom = putAttached(registry, 'app', { to: image });
  serveReferrers(registry, 'app', { to: image, manifests: [sbom] });
  const bytes = async (referrers: boolean): Promise<number | undefined> => {
    await using planner = finder({ keep: 'oci', referrers });
    return (await planner.planImages(createApps([reference('app:1')]))).outcomes[0]?.bytesToFetch;
  };
  const own = (await bytes(false)) ?? 0;
  const attached = JSON.stringify({ artifactType: 'application/vnd.example.sbom', to: image.digest });
  t.is(await bytes(true), own + '{}'.length + attached.length);
  await fetch(reference('app:1'));
  t.is(await bytes(true), '{}'.length + attached.length);
});

test('a plan says what a registry allows, and that a fetch uses as many requests of it as the plan', async (t) => {
  const { registry, reference, finder } = await openRegistryFetching(t);
  registry.putImage('app', '1', { layers: [await layerOf({ a: '1' })] });
  const quota = { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '76;w=21600' };
  for (const [path, route] of Object.entries(registry.routes)) {
    if (path.includes('/manifests/')) registry.routes[path] = { ...route, headers: { ...route.headers, ...quota } };
  }
  const { totals } = await finder().planImages(createApps([reference('app:1')]));
  t.deepEqual(totals.quotas, [{ host: registry.host, limit: 100, remaining: 76, windowSeconds: 21_600, needed: 1 }]);
});
