import { gzipSync } from 'node:zlib';

import test from 'ava';

import type { ActionOptions } from '../../../src/internal.ts';
import { describe, types } from '../../helpers/registry.ts';
import { layerOf, openRegistryFetching } from '../../helpers/registry-fetching.ts';

test('a layer with another compression than its media type is warned about by name', async (t) => {
  const warnings: string[] = [];
  const onEvent: ActionOptions['onEvent'] = (event) => event.type === 'warning' && warnings.push(event.message);
  const { registry, fetch, reference } = await openRegistryFetching(t, { onEvent });
  const [one, other] = [await layerOf({ a: '1' }), gzipSync(await layerOf({ b: '2' }))];
  const { manifest } = registry.putImage('app', '1', { layers: [one] });
  const diffIds = [one, await layerOf({ b: '2' })].map((tar) => describe(tar, '').digest);
  const config = { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: diffIds } };
  const layers = [registry.putBlob('app', one, types.layer), registry.putBlob('app', other, types.plainLayer)];
  const about = { config: registry.putBlob('app', JSON.stringify(config), types.config), layers };
  registry.putManifest('app', '2', { ...manifest, ...about });
  t.is((await fetch(reference('app:1'))).error, undefined);
  t.deepEqual(warnings, []);
  t.is((await fetch(reference('app:2'))).error, undefined);
  t.deepEqual(
    warnings.toSorted(),
    [
      `layer ${layers[0]?.digest} is a bare tar, and not gzip as its media type says`,
      `layer ${layers[1]?.digest} is gzip, and not a bare tar as its media type says`,
    ].toSorted(),
  );
});
