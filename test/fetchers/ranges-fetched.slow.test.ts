import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import test from 'ava';

import { buildAci } from '../helpers/archive.ts';
import { openFetching } from '../helpers/fetching.ts';
import { startOrigin } from '../helpers/origin.ts';
import { layerOf, openRegistryFetching } from '../helpers/registry-fetching.ts';
import { digestOf } from '../helpers/registry-image.ts';
import { startProcess } from '../helpers/store-process.ts';
import { until } from '../helpers/until.ts';

const script = fileURLToPath(new URL('../helpers/fetch-child.ts', import.meta.url));

/** So large that it comes by ranges, and sent at a rate that makes it worth it. */
const bytes = 70 * 1024 * 1024;
const rate = 10_000_000;

/** Ranges with an end: their first positions. */
const rangesOf = (requests: readonly { readonly headers: { readonly range?: string | undefined } }[]): number[] =>
  requests.flatMap(({ headers: { range } }) => {
    const first = /^bytes=(\d+)-\d+$/.exec(range ?? '')?.[1];
    return first === undefined ? [] : [Number(first)];
  });

test.serial('a large archive comes by ranges, and each is resumed after a kill', async (t) => {
  const { store, fetch, leftovers } = await openFetching(t);
  const origin = await startOrigin(t);
  const aci = await buildAci({ name: 'example.com/large', files: { data: randomBytes(bytes) } });
  const packed = gzipSync(aci.tar, { level: 0 });
  origin.routes['/large.aci'] = { body: packed, etag: '"1"', rate };
  const url = `${origin.url}/large.aci`;

  const child = startProcess(t, [script, store.dir, url]);
  // of its four jobs, two may be ranges; each has a file beside it once bytes of it have come
  await until(async () => (await leftovers()).filter((path) => path.endsWith('state.json')).length === 3);
  await child.kill();
  const before = origin.requests.length;

  t.like(await fetch(url, { keepArchives: true }), { status: 'fetched', imageID: aci.imageId });
  t.like(await store.archiveOf(aci.imageId), { digest: digestOf(packed), size: packed.length });
  const resumed = rangesOf(origin.requests.slice(before));
  t.true(resumed.length >= 1);
  const begun = new Set(rangesOf(origin.requests.slice(0, before)));
  t.true(resumed.filter((first) => !begun.has(first)).length >= 1, resumed.join());
  t.deepEqual(await leftovers(), []);
});

test.serial('a large layer comes by ranges', async (t) => {
  const { registry, reference, fetch, blobs, leftovers } = await openRegistryFetching(t, { keep: 'oci' });
  const layer = await layerOf({ data: randomBytes(bytes) });
  const { digest, manifest } = registry.putImage('large', '1', { layers: [layer] });
  const path = `/v2/large/blobs/${manifest.layers[0]?.digest ?? ''}`;
  registry.routes[path] = { body: layer, rate };
  t.like(await fetch(reference('large:1')), { status: 'fetched', digest });
  t.true((await blobs()).includes(manifest.layers[0]?.digest ?? ''));
  t.true(rangesOf(registry.requests).length >= 3);
  t.deepEqual(await leftovers(), []);
});

test.serial('bytes that an earlier run had got by ranges do not count as downloaded', async (t) => {
  const { registry, store, reference, fetchAll, fetch, leftovers } = await openRegistryFetching(t, { keep: 'oci' });
  const layer = await layerOf({ data: randomBytes(bytes) });
  const { manifest } = registry.putImage('large', '1', { layers: [layer] });
  const path = `/v2/large/blobs/${manifest.layers[0]?.digest ?? ''}`;
  registry.routes[path] = { body: layer, rate };
  const stop = new AbortController();
  const stopped = fetchAll([reference('large:1')], {}, { signal: stop.signal });
  let kept: readonly number[] = [];
  let hasEnded = false;
  void stopped.finally(() => (hasEnded = true));
  await until(async () => {
    const files = (await leftovers()).map((file) => statSync(join(store.dir, file), { throwIfNoEntry: false }));
    kept = files.flatMap((stat) => (stat?.isFile() ? [stat.size] : [])).sort((one, other) => other - one);
    return hasEnded || kept.filter((size) => size > 2_000_000).length === 3; // the download and two ranges
  });
  t.false(hasEnded);
  stop.abort();
  await stopped;

  const { status, bytesDownloaded = 0 } = await fetch(reference('large:1'));
  t.is(status, 'fetched');
  const [own = 0, ...ofRanges] = kept;
  const half = ofRanges.reduce((sum, size) => sum + size, 0) / 2; // one of them may be given up
  t.true(bytesDownloaded < layer.length - own - half, `${bytesDownloaded} of ${layer.length}, after ${kept.join()}`);
});
