import { utimes } from 'node:fs/promises';

import test from 'ava';

import { damageFile } from '../helpers/damage.ts';
import { codesOf, openFetching } from '../helpers/fetching.ts';
import { startOrigin } from '../helpers/origin.ts';

const name = 'example.com/app';

for (const kind of ['flip', 'cut', 'unlink'] as const) {
  test(`a blob after ${kind}: fetched whole under new and update, STORE_CORRUPT under never`, async (t) => {
    const origin = await startOrigin(t);
    const { fetch, store } = await openFetching(t, { discover: origin.discover });
    const headers = { 'cache-control': 'max-age=86400' };
    const { url, imageId, path } = await origin.publish({ name, version: '1', size: 10_000 }, { etag: '"1"', headers });
    const references = [url, `${name}:1`];
    await fetch(url);
    let fetched = 1;
    for (const pullPolicy of ['new', 'update'] as const) {
      for (const reference of references) {
        await damageFile(store.blobPath(imageId), kind);
        t.like(await fetch(reference, { pullPolicy }), { status: 'fetched', imageID: imageId });
        t.is(await store.blobState(imageId), 'intact');
        t.is(origin.served(path), ++fetched);
      }
    }
    t.true(origin.requests.every((request) => request.headers['if-none-match'] === undefined));

    await damageFile(store.blobPath(imageId), kind);
    for (const reference of [...references, imageId]) {
      t.deepEqual(codesOf(await fetch(reference, { pullPolicy: 'never' })), ['STORE_CORRUPT'], reference);
    }
    t.deepEqual(codesOf(await fetch(imageId)), ['STORE_CORRUPT'], 'an ID can only be had from the store');
    t.is(origin.served(path), fetched);
  });
}

test('a blob with a changed time is hashed once and then used again', async (t) => {
  const { fetch, store } = await openFetching(t);
  const origin = await startOrigin(t);
  const { url, imageId } = await origin.publish({ name }, { headers: { 'cache-control': 'max-age=86400' } });
  await fetch(url);
  await utimes(store.blobPath(imageId), 1, 1);
  t.is(await store.blobState(imageId), 'changed');
  t.like(await fetch(url, { pullPolicy: 'never' }), { status: 'present', imageID: imageId });
  t.is(await store.blobState(imageId), 'intact');
});

test('a cache entry whose image was removed is not used, under any policy', async (t) => {
  const { fetch, store } = await openFetching(t);
  const origin = await startOrigin(t);
  const { url, imageId, path } = await origin.publish({ name }, { etag: '"1"' });
  await fetch(url);
  await store.remove(imageId);
  t.deepEqual(codesOf(await fetch(url, { storeOnly: true })), ['NOT_IN_STORE']);
  t.like(await fetch(url), { status: 'fetched' });
  t.is(origin.served(path), 2);
});
