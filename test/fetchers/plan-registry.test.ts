import test from 'ava';

import { createApps } from '../../src/index.ts';
import { layerOf, openRegistryFetching } from '../helpers/registry-fetching.ts';

test('a plan says digest and bytes by the manifest alone, and the store what is there', async (t) => {
  const { registry, reference, finder, fetch, asked, kept } = await openRegistryFetching(t);
  const shared = await layerOf({ a: '1' });
  registry.putImage('app', '1', { layers: [shared] });
  const other = registry.putImage('app', '2', { layers: [shared, await layerOf({ b: '2' })] });
  const sizes = [other.manifest.config, ...other.manifest.layers].map(({ size }) => size);
  const plan = async (name: string, pullPolicy: 'new' | 'update' | 'never' = 'new') => {
    await using planner = finder({ pullPolicy });
    const { outcomes, totals } = await planner.planImages(createApps([reference(name)]));
    return { ...outcomes[0], totals };
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
