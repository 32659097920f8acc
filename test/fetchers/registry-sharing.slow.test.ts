import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';

import test from 'ava';

import { type BatchEvent, createFinder, openStore, type Outcome } from '../../src/internal.ts';
import { held } from '../helpers/held.ts';
import { layerOf, openRegistryFetching } from '../helpers/registry-fetching.ts';
import { startProcess } from '../helpers/store-process.ts';
import { untilDownloaded } from '../helpers/until.ts';

const script = fileURLToPath(new URL('../helpers/fetch-child.ts', import.meta.url));
const blob = (repository: string, { digest = '' }: { readonly digest?: string } = {}) =>
  `/v2/${repository}/blobs/${digest}`;

test('a layer of several images of a batch is downloaded once, also across repositories', async (t) => {
  const { registry, reference, fetchAll, asked } = await openRegistryFetching(t);
  const base = await layerOf({ base: randomBytes(100_000) });
  for (const name of ['a', 'b', 'c', 'd']) registry.putImage(name, '1', { layers: [base, await layerOf({ name })] });
  for (const [path, route] of Object.entries(registry.routes)) {
    if (path.includes('/blobs/')) registry.routes[path] = { ...route, delayMs: 100 };
  }
  const outcomes = await fetchAll(['a:1', 'b:1', 'c:1', 'd:1'].map(reference));
  t.deepEqual(
    outcomes.map(({ status }) => status),
    ['fetched', 'fetched', 'fetched', 'fetched'],
  );
  t.is(new Set(outcomes.map(({ imageID }) => imageID)).size, 4);
  t.is(asked('GET /v2/'), 1 + 4 + 4 + 4 + 1, 'the entrance, manifests, configurations, own layers and the shared one');
});

for (const keep of ['aci', 'both'] as const) {
  test(`a configuration that many tags share is asked for once a batch: --keep=${keep}`, async (t) => {
    const { registry, reference, fetchAll, asked } = await openRegistryFetching(t, { keep });
    const layers = [await layerOf({ a: '1' })];
    const tags = Array.from({ length: 20 }, (_, index) => `app:${index}`);
    const { manifest } = registry.putImage('app', undefined, { layers });
    for (const [index] of tags.entries())
      registry.putManifest('app', `${index}`, { ...manifest, annotations: { index: `${index}` } });
    const outcomes = await fetchAll(tags.map(reference));
    t.true(outcomes.every(({ status, error }) => status === 'fetched' && !error));
    t.is(asked(`GET ${blob('app', manifest.config)}`), 1);
  });
}

test('of two processes one fetches an image and the other waits', async (t) => {
  const { registry, reference, store, kept, asked } = await openRegistryFetching(t);
  const { manifest } = registry.putImage('app', '1', { layers: [await layerOf({ data: randomBytes(50_000) })] });
  const [layer] = manifest.layers;
  const path = blob('app', layer);
  registry.routes[path] = { ...registry.routes[path], delayMs: 1500 };
  const children = [1, 2].map(() => startProcess(t, [script, store.dir, reference('app:1')]));
  const results = await Promise.all(
    children.map(async (child) => JSON.parse((await child.line()) ?? '[]') as readonly Outcome[]),
  );
  t.deepEqual(results.map(([outcome]) => outcome?.status).sort(), ['fetched', 'present']);
  t.is(results[0]?.[0]?.imageID, results[1]?.[0]?.imageID);
  t.is(asked(`GET ${path}`), 1);
  t.deepEqual(await kept(), [`${registry.host}/app:1`]);
});

test('a layer whose process was killed is resumed by the next one', async (t) => {
  const { registry, reference, store, fetch, leftovers } = await openRegistryFetching(t);
  const bytes = await layerOf({ data: randomBytes(6_000_000) });
  const { manifest } = registry.putImage('app', '1', { layers: [bytes] });
  const path = blob('app', manifest.layers[0]);
  registry.routes[path] = held(bytes);
  const child = startProcess(t, [script, store.dir, reference('app:1')]);
  await untilDownloaded(store.dir, 1_000_000);
  await child.kill();
  registry.routes[path] = { body: bytes };
  const outcome = await fetch(reference('app:1'));
  t.is(outcome.status, 'fetched');
  t.true((outcome.bytesDownloaded ?? Infinity) < bytes.length, 'the rest');
  t.regex(String(registry.requests.findLast(({ url }) => url === path)?.headers.range), /^bytes=\d+-$/);
  t.deepEqual(await leftovers(), []);
});

test('blobs that another tool removed are downloaded again, and the archive is not converted again', async (t) => {
  const { registry, reference, fetch, store, kept } = await openRegistryFetching(t);
  const { manifest } = registry.putImage('app', '1', { layers: [await layerOf({ a: '1' })] });
  const { imageID } = await fetch(reference('app:1'));
  await store.dropBlob((manifest.layers[0]?.digest ?? '') as never);
  t.deepEqual(await kept(), []);
  const ingested: string[] = [];
  const onEvent = (event: BatchEvent) => event.type === 'ingested' && ingested.push(event.imageID);
  t.like(await fetch(reference('app:1'), { onEvent }), { status: 'fetched', imageID });
  t.deepEqual(
    ingested.filter((id) => id === imageID),
    [],
  );
  t.deepEqual(await kept(), [`${registry.host}/app:1`]);
});

test('a stopped batch lists nothing, and keeps its partial layers for the next one', async (t) => {
  const { registry, reference, directory, fetch, listed, kept } = await openRegistryFetching(t);
  const bytes = await layerOf({ data: randomBytes(3_000_000) });
  const { manifest } = registry.putImage('app', '1', { layers: [bytes] });
  const path = blob('app', manifest.layers[0]);
  registry.routes[path] = { body: bytes, rate: 1_000_000 };
  await using store = await openStore({ dir: `${directory}/other` });
  const stop = new AbortController();
  const onEvent = (event: BatchEvent) => {
    if (event.type === 'download-progress' && event.bytes > 500_000) stop.abort(new Error('enough'));
  };
  {
    await using finder = createFinder({ store, platform: ['linux/amd64'], workers: 1, onEvent });
    const { outcomes } = await finder.findImages([{ image: reference('app:1') }], { signal: stop.signal });
    t.is(outcomes[0]?.status, 'cancelled');
  }
  t.is((await Array.fromAsync(store.images())).length, 0);
  t.deepEqual([await listed(), await kept()], [[], []]);
  registry.routes[path] = { body: bytes };
  await using again = createFinder({ store, platform: ['linux/amd64'], workers: 1 });
  const { outcomes } = await again.findImages([{ image: reference('app:1') }]);
  t.true((outcomes[0]?.bytesDownloaded ?? Infinity) < bytes.length - 400_000);
  t.is((await fetch(reference('app:1'))).imageID, outcomes[0]?.imageID, 'another store makes the same archive of it');
});
