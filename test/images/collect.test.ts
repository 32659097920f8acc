import { access, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import test from 'ava';

import { collect } from '../../src/images/collect.ts';
import type { Store } from '../../src/store/store.ts';
import { storeContext } from '../helpers/store-context.ts';
import { putImage } from '../helpers/stored.ts';

const hour = 3_600_000;
const day = 24 * hour;

test('images are kept, however long unused, unless a grace period is given', async (t) => {
  const { store } = await storeContext(t);
  const image = await putImage(store, { name: 'example.com/app' });
  const nowMs = image.lastUsedAtMs + 1000 * day;
  t.deepEqual((await collect(store, { nowMs })).images, []);
  const { images, imageBytes } = await collect(store, { nowMs, gracePeriodMs: 999 * day });
  t.deepEqual(
    images.map(({ id }) => id),
    [image.imageId],
  );
  t.is(imageBytes, image.size);
  t.is(await store.getImage(image.imageId), undefined);
});

test('an image unused for exactly the grace period counts as used', async (t) => {
  const { store } = await storeContext(t);
  const image = await putImage(store, { name: 'example.com/app' });
  const at = (gracePeriodMs: number) =>
    collect(store, { nowMs: image.lastUsedAtMs + day, gracePeriodMs, dryRun: true });
  t.is((await at(day)).images.length, 0);
  t.is((await at(day - 1)).images.length, 1);
});

test('a dry run reports what would be removed, and removes nothing', async (t) => {
  const { store } = await storeContext(t);
  const image = await putImage(store, { name: 'example.com/app' });
  const loose = await looseBlob(store, image.imageId);
  const request = { nowMs: image.lastUsedAtMs + day, gracePeriodMs: 1 };
  const planned = await collect(store, { ...request, dryRun: true });
  t.is(planned.images.length, 1);
  t.is(planned.garbage.blobs, 1);
  t.is((await store.getImage(image.imageId))?.imageId, image.imageId);
  await access(loose);
  const done = await collect(store, request);
  t.is(done.garbage.blobs, 1);
  await t.throwsAsync(access(loose), { code: 'ENOENT' });
});

test('a partial download is removed after a day, or after the given time, unless a download holds its claim', async (t) => {
  const { store } = await storeContext(t);
  const old = 'https://example.com/old.aci';
  const held = 'https://example.com/held.aci';
  const signal = new AbortController().signal;
  await partial(store, old, signal);
  await partial(store, held, signal);
  const after = (ms: number) => collect(store, { nowMs: Date.now() + ms });
  t.is((await after(23 * hour)).garbage.partials, 0);
  const claim = await store.claim(held, signal);
  t.is((await after(25 * hour)).garbage.partials, 1);
  await claim.release();
  t.is((await collect(store, { nowMs: Date.now() + 2 * hour, partialsOlderThanMs: hour })).garbage.partials, 1);
});

async function partial(store: Store, url: string, signal: AbortSignal): Promise<void> {
  const claim = await store.claim(url, signal);
  const file = await store.openPartial(url);
  await file.restart({ validator: { kind: 'etag', value: '"1"' }, total: 100_000 });
  await file.append([Buffer.alloc(1000)]);
  await file.close();
  await claim.release();
}

async function looseBlob(store: Store, imageId: Parameters<Store['blobPath']>[0]): Promise<string> {
  const path = join(dirname(store.blobPath(imageId)), 'e'.repeat(128));
  await writeFile(path, 'loose');
  await utimes(path, new Date(0), new Date(0));
  return path;
}
