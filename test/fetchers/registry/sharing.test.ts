import { randomBytes } from 'node:crypto';

import test from 'ava';

import { createApps } from '../../../src/image/apps.ts';
import type { BatchEvent } from '../../../src/internal.ts';
import type { SharedBatchCall } from '../../../src/options.ts';
import { abortable } from '../../../src/system/single-flight.ts';
import { held } from '../../helpers/held.ts';
import { startRegistry } from '../../helpers/registry.ts';
import { layerOf, openRegistryFetching } from '../../helpers/registry-fetching.ts';

type Sharing = NonNullable<SharedBatchCall['sharing']>;
type Begun = { readonly name: string; readonly blobs: readonly string[] };

/** Blobs wait until they are allowed. */
function createGate() {
  const allowed = new Map<string, PromiseWithResolvers<void>>();
  const gateOf = (digest: string) => {
    const gate = allowed.get(digest) ?? Promise.withResolvers<void>();
    allowed.set(digest, gate);
    return gate;
  };
  const begun: Begun[] = [];
  const asked: string[] = [];
  const sharing: Sharing = {
    begin({ reference: { host, repository } }, blobs) {
      begun.push({ name: `${host}/${repository}`, blobs: blobs.map(({ digest }) => digest) });
      return Promise.resolve({
        mayAsk(digest, signal) {
          asked.push(digest);
          return abortable(gateOf(digest).promise, signal);
        },
      });
    },
  };
  return { sharing, begun, asked, allow: (digest = '') => gateOf(digest).resolve() };
}

for (const keep of ['oci', 'both'] as const) {
  test(`a blob that is not allowed yet takes no slot, and nothing is asked for it: ${keep}`, async (t) => {
    const { registry, reference, finder, asked } = await openRegistryFetching(t, { keep, jobs: 1 });
    const { manifest } = registry.putImage('app', '1', { layers: [await layerOf({ a: randomBytes(10_000) })] });
    registry.putImage('other', '1', { layers: [await layerOf({ b: 'b' })] });
    const [layer] = manifest.layers;
    const gate = createGate();
    const run = finder();
    const waiting = run.findImages(createApps([reference('app:1')]), { sharing: gate.sharing });
    while (gate.asked.length < 2) await new Promise(setImmediate);
    const [other] = (await run.findImages(createApps([reference('other:1')]))).outcomes;
    t.is(other?.status, 'fetched', 'the only slot was free');
    t.is(asked('GET /v2/app/blobs/'), 0);
    t.deepEqual(gate.begun, [
      { name: `${registry.host}/app`, blobs: [layer?.digest, manifest.config.digest] as string[] },
    ]);
    gate.allow(layer?.digest);
    gate.allow(manifest.config.digest);
    t.is((await waiting).outcomes[0]?.status, 'fetched');
    t.is(asked('GET /v2/app/blobs/'), 2);
  });
}

test('what the store has is shared with nobody, and an image without a missing blob is not told', async (t) => {
  const { registry, reference, finder } = await openRegistryFetching(t, { keep: 'oci', pullPolicy: 'update' });
  const layers = [await layerOf({ a: 'a' }), await layerOf({ b: 'b' })];
  const { manifest } = registry.putImage('app', '1', { layers });
  registry.putImage('less', '1', { layers: layers.slice(0, 1) });
  const gate = createGate();
  const run = finder();
  await run.findImages(createApps([reference('less:1')]));
  for (const { digest } of [...manifest.layers, manifest.config]) gate.allow(digest);
  const { outcomes } = await run.findImages(createApps([reference('app:1')]), { sharing: gate.sharing });
  t.is(outcomes[0]?.status, 'fetched');
  t.deepEqual(gate.begun[0]?.blobs, [manifest.layers[1]?.digest, manifest.config.digest] as string[]);
  registry.putManifest('app', '2', { ...manifest, annotations: { a: 'b' } });
  await run.findImages(createApps([reference('app:2')]), { sharing: gate.sharing });
  t.is(gate.begun.length, 1);
});

test('all blobs of a whole index are shared at once, and a batch that is stopped waits for none of them', async (t) => {
  const { registry, reference, finder } = await openRegistryFetching(t, { keep: 'oci' });
  const layers = await Promise.all([layerOf({ a: 'a' }), layerOf({ b: 'b' })]);
  const images = layers.map((layer, at) =>
    registry.putImage('app', undefined, { layers: [layer], architecture: `a${at}` }),
  );
  const manifests = images.map(({ mediaType, digest, size }, at) => {
    return { mediaType, digest, size, platform: { os: 'linux', architecture: `a${at}` } };
  });
  const type = 'application/vnd.oci.image.index.v1+json';
  registry.putManifest('app', '1', { schemaVersion: 2, mediaType: type, manifests }, type);
  const gate = createGate();
  const stop = new AbortController();
  const run = finder({ platform: ['all'] }).findImages(createApps([reference('app:1')]), {
    sharing: gate.sharing,
    signal: stop.signal,
  });
  while (gate.asked.length < 4) await new Promise(setImmediate);
  t.deepEqual(
    gate.begun.map(({ blobs }) => blobs.toSorted()),
    [images.flatMap(({ manifest }) => [...manifest.layers, manifest.config].map(({ digest }) => digest)).sort()],
  );
  stop.abort(new Error('enough'));
  t.is((await run).outcomes[0]?.status, 'cancelled');
});

test('a peer that lies in part and then hangs does not spoil the blob: it comes whole from its registry', async (t) => {
  const { registry, reference, finder, asked } = await openRegistryFetching(t, { keep: 'oci' });
  const layer = await layerOf({ a: randomBytes(200_000) });
  const { manifest } = registry.putImage('app', '1', { layers: [layer] });
  const digest = manifest.layers[0]?.digest ?? '';
  registry.routes[`/v2/app/blobs/${digest}`] = { body: layer, etag: '"1"' };
  const peer = await startRegistry(t);
  peer.routes[`/v2/copy/blobs/${digest}`] = held(Buffer.alloc(layer.length, 7), 100_000);
  const peers = () => [{ host: peer.host, repository: 'copy', origin: peer.url }];
  const run = finder({ peers, timeouts: { stall: 300 } });
  const { outcomes } = await run.findImages(createApps([reference('app:1')]));
  t.is(outcomes[0]?.status, 'fetched');
  const ranges = registry.requests.filter(({ url }) => url.endsWith(digest)).map(({ headers }) => headers.range);
  t.deepEqual(ranges, ['bytes=100000-', undefined]);
  t.is(asked('GET /v2/app/blobs/'), 3);
  t.is(peer.requests.filter(({ url }) => url.endsWith(digest)).length, 1);
});

test('an image comes from peers but for what they falsify, with a warning that names them', async (t) => {
  const { registry, reference, finder, asked } = await openRegistryFetching(t, { keep: 'oci' });
  const layers = [await layerOf({ a: 'a' }), await layerOf({ b: 'b' })];
  const { manifest } = registry.putImage('app', '1', { layers });
  const peer = await startRegistry(t);
  peer.putImage('copy', '1', { layers });
  const [good, bad] = manifest.layers;
  peer.routes[`/v2/copy/blobs/${bad?.digest}`] = { body: Buffer.alloc(bad?.size ?? 0, 7) };
  const warnings: string[] = [];
  const onEvent = (event: BatchEvent) => event.type === 'warning' && warnings.push(event.message);
  const peers = () => [{ host: peer.host, repository: 'copy', origin: peer.url }];
  const { outcomes } = await finder({ peers, onEvent }).findImages(createApps([reference('app:1')]));
  t.is(outcomes[0]?.status, 'fetched');
  t.is(asked('GET /v2/app/blobs/'), 1);
  t.is(asked(`GET /v2/app/blobs/${bad?.digest}`), 1);
  t.true(peer.requests.some(({ url }) => url.endsWith(good?.digest ?? '')));
  t.is(warnings.length, 1);
  t.regex(warnings[0] ?? '', new RegExp(`the peer ${peer.host} has other content for the blob ${bad?.digest}`));
});
