import test from 'ava';

import type { BatchEvent } from '../../src/internal.ts';
import { startRegistry } from '../helpers/registry.ts';
import { layerOf, openRegistryFetching } from '../helpers/registry-fetching.ts';

test('events and results name the mirror that an image came from, or the registry if no mirror had it', async (t) => {
  const { registry, reference, fetch } = await openRegistryFetching(t);
  const mirror = await startRegistry(t);
  const layers = [await layerOf({ a: 'a' })];
  for (const place of [registry, mirror]) place.putImage('app', '1', { layers });
  registry.putImage('own', '1', { layers: [await layerOf({ b: 'b' })] });
  const events: BatchEvent[] = [];
  const mirrors = [{ prefix: registry.host, mirrors: [{ origin: mirror.url, resolves: true }] }];
  const options = { mirrors, onEvent: (event: BatchEvent) => events.push(event) };
  const outcome = await fetch(reference('app:1'), options);
  const endpoint = `${mirror.url}/v2/app/manifests/1`;
  t.like(outcome, { status: 'fetched', endpoint, source: reference('app:1') });
  t.deepEqual(
    events.flatMap((event) =>
      event.type === 'download-started' || event.type === 'download-finished' ? event.url : [],
    ),
    [endpoint, endpoint],
  );
  t.like(await fetch(reference('own:1'), options), { endpoint: `${registry.url}/v2/own/manifests/1` });
});
