import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import type { ActionOptions, Store } from '../../src/internal.ts';
import { buildAci } from '../helpers/archive.ts';
import { codesOf, openFetching } from '../helpers/fetching.ts';
import { startOrigin } from '../helpers/origin.ts';

const name = 'example.com/app';
const day = 'max-age=86400';
const policies = ['new', 'update', 'never'] as const;

/** As if what is remembered of the URL had been checked so long ago. */
async function age(store: Store, url: string, ms: number): Promise<void> {
  const record = await store.getRemote(url);
  if (!record) throw new Error('nothing is remembered');
  await store.putRemote(url, { ...record, checkedAtMs: record.checkedAtMs - ms });
}

/** The conditions of the requests that were made, `-` for none. */
function conditions({ requests }: { readonly requests: Awaited<ReturnType<typeof startOrigin>>['requests'] }) {
  return requests.map(({ headers }) => headers['if-none-match'] ?? headers['if-modified-since'] ?? '-');
}

for (const pullPolicy of policies) {
  test(`${pullPolicy}: a file is read and imported each time`, async (t) => {
    const { directory, fetch } = await openFetching(t, { pullPolicy });
    const { bytes, imageId } = await buildAci({ name });
    const path = join(directory, 'app.aci');
    await writeFile(path, bytes);
    for (let time = 0; time < 2; time++) t.like(await fetch(path), { status: 'fetched', imageID: imageId });
  });

  test(`${pullPolicy}: a URL younger than its max-age is answered from the store without a request`, async (t) => {
    const { fetch, store } = await openFetching(t);
    const origin = await startOrigin(t);
    const { url, imageId } = await origin.publish({ name }, { headers: { 'cache-control': day } });
    t.like(await fetch(url), { status: 'fetched' });
    t.is((await store.getRemote(url))?.maxAgeMs, 86_400_000);
    for (const elapsed of [0, 86_340_000]) {
      await age(store, url, elapsed);
      t.like(await fetch(url, { pullPolicy }), { status: 'present', imageID: imageId, bytesDownloaded: 0 });
    }
    t.is(origin.requests.length, 1);
  });
}

test('a max-age is limited to a week, also in existing cache entries', async (t) => {
  const { fetch, store } = await openFetching(t);
  const origin = await startOrigin(t);
  const headers = { 'cache-control': 'max-age=31536000' };
  const { url } = await origin.publish({ name }, { etag: '"1"', headers });
  await fetch(url);
  const record = await store.getRemote(url);
  if (!record) throw new Error('nothing is remembered');
  await store.putRemote(url, { ...record, maxAgeMs: 31_536_000_000 });
  await age(store, url, 7 * 86_400_000 - 60_000);
  await fetch(url);
  t.is(origin.requests.length, 1);
  await age(store, url, 60_000);
  await fetch(url);
  t.deepEqual(conditions(origin), ['-', '"1"']);
});

for (const pullPolicy of ['new', 'update'] as const) {
  test(`${pullPolicy}: an old record makes the request conditional, and a 304 makes it young again`, async (t) => {
    const { fetch, store } = await openFetching(t);
    const origin = await startOrigin(t);
    const headers = { 'cache-control': day };
    const { url, imageId, path, bytes } = await origin.publish({ name }, { etag: '"1"', headers });
    await fetch(url);
    await age(store, url, 86_400_000);
    origin.routes[path] = { body: bytes, etag: '"1"', headers: { 'cache-control': 'max-age=10' } };
    const before = Date.now();
    t.like(await fetch(url, { pullPolicy }), { status: 'present', imageID: imageId, bytesDownloaded: 0 });
    t.deepEqual(conditions(origin), ['-', '"1"']);
    const record = await store.getRemote(url);
    t.like(record, { imageId, etag: '"1"', maxAgeMs: 10_000 });
    t.true((record?.checkedAtMs ?? 0) >= before);
    t.like(await fetch(url, { pullPolicy }), { status: 'present' });
    t.is(origin.requests.length, 2);
  });

  test(`${pullPolicy}: without an ETag the date is asked about; without either, all comes again`, async (t) => {
    const { fetch, store } = await openFetching(t, { pullPolicy });
    const origin = await startOrigin(t);
    const lastModified = 'Mon, 01 Jan 2024 00:00:00 GMT';
    const dated = await origin.publish({ name, version: '1' }, { lastModified });
    const bare = await origin.publish({ name, version: '2' });
    t.like(await fetch(dated.url), { status: 'fetched' });
    t.like(await fetch(dated.url), { status: 'present' });
    t.like(await fetch(bare.url), { status: 'fetched' });
    const checkedAtMs = (await store.getRemote(bare.url))?.checkedAtMs ?? 0;
    t.like(await fetch(bare.url), { status: 'fetched', bytesDownloaded: bare.bytes.length });
    t.deepEqual(conditions(origin), ['-', lastModified, '-', '-']);
    t.true(((await store.getRemote(bare.url))?.checkedAtMs ?? 0) > checkedAtMs);
  });
}

test('never: any cache entry is used, however old, and nothing else', async (t) => {
  const { fetch, store } = await openFetching(t);
  const origin = await startOrigin(t);
  const { url, imageId } = await origin.publish({ name }, { headers: { 'cache-control': 'no-store' } });
  await fetch(url);
  await age(store, url, 365 * 86_400_000);
  t.like(await fetch(url, { storeOnly: true }), { status: 'present', imageID: imageId });
  const missing = await fetch(`${url}?token=secret`, { pullPolicy: 'never' });
  t.deepEqual(codesOf(missing), ['NOT_IN_STORE']);
  t.false(JSON.stringify(missing.error).includes('secret'));
  t.is(origin.requests.length, 1);
});

test('a changed image is fetched, and its cache entry updated', async (t) => {
  const { fetch, store, listed } = await openFetching(t);
  const origin = await startOrigin(t);
  const { url, path } = await origin.publish({ name }, { etag: '"1"' });
  await fetch(url);
  const next = await buildAci({ name, size: 1000 });
  origin.routes[path] = { body: next.bytes, etag: '"2"' };
  t.like(await fetch(url), { status: 'fetched', imageID: next.imageId });
  t.like(await store.getRemote(url), { imageId: next.imageId, etag: '"2"' });
  t.is((await listed()).length, 2);
});

test('noCache ignores cache entries; an entry with a time in the future is not fresh', async (t) => {
  const { fetch, store } = await openFetching(t);
  const origin = await startOrigin(t);
  const { url } = await origin.publish({ name }, { etag: '"1"', headers: { 'cache-control': day } });
  await fetch(url);
  t.like(await fetch(url, { noCache: true }), { status: 'fetched' });
  await age(store, url, -3_600_000);
  t.like(await fetch(url), { status: 'present' });
  t.deepEqual(conditions(origin), ['-', '-', '"1"']);
});

test('of many fetches of one URL at the same time, one downloads it and the others use it, also with one slot', async (t) => {
  const { finder } = await openFetching(t, { noCache: true });
  const origin = await startOrigin(t);
  const { url, path, imageId } = await origin.publish({ name }, { delayMs: 50 });
  for (const [round, jobs] of [1, 8].entries()) {
    const shared = finder({ jobs });
    const ids = await Promise.all(Array.from({ length: 5 }, () => shared.findImage(url)));
    t.deepEqual(new Set(ids), new Set([imageId]));
    t.is(origin.served(path), round + 1);
  }
});

test('fetches that wait for one that fails try one after the other, and all end', async (t) => {
  const { finder, leftovers } = await openFetching(t);
  const origin = await startOrigin(t);
  origin.routes['/app.aci'] = { status: 404, delayMs: 50 };
  const shared = finder();
  const results = await Promise.allSettled(Array.from({ length: 5 }, () => shared.findImage(`${origin.url}/app.aci`)));
  t.true(results.every(({ status }) => status === 'rejected'));
  t.is(origin.served('/app.aci'), 5);
  t.deepEqual(await leftovers(), []);
});

test('the same with a redirect, and the cache entry is for the requested URL', async (t) => {
  const { fetch, store } = await openFetching(t);
  const origin = await startOrigin(t);
  const young = await origin.publish({ name, version: '1' }, { headers: { 'cache-control': 'max-age=10' } });
  const tagged = await origin.publish({ name, version: '2' }, { etag: '"2"' });
  const both = await origin.publish(
    { name, version: '3' },
    { etag: '"3"', headers: { 'cache-control': 'max-age=10' } },
  );
  const bare = await origin.publish({ name, version: '4' });
  const cases = [
    { to: young, second: 'present', record: { maxAgeMs: 10_000, etag: undefined } },
    { to: tagged, second: 'present', record: { maxAgeMs: 0, etag: '"2"' } },
    { to: both, second: 'present', record: { maxAgeMs: 10_000, etag: '"3"' } },
    { to: bare, second: 'fetched', record: { maxAgeMs: 0, etag: undefined } },
  ];
  for (const [at, { to, second, record }] of cases.entries()) {
    origin.routes[`/${at}.aci`] = { status: 307, headers: { location: to.path } };
    const url = `${origin.url}/${at}.aci`;
    t.like(await fetch(url, { noStore: true }), { status: 'fetched', imageID: to.imageId });
    t.like(await fetch(url, { noStore: true }), { status: second, imageID: to.imageId });
    const { imageId, maxAgeMs, etag } = (await store.getRemote(url)) ?? {};
    t.deepEqual({ imageId, maxAgeMs, etag }, { imageId: to.imageId, ...record });
    t.is(await store.getRemote(to.url), undefined);
  }
});

test('storeOnly and noStore together are refused before anything happens', async (t) => {
  const { finder } = await openFetching(t);
  const contradiction: Partial<ActionOptions> = { storeOnly: true, noStore: true };
  t.throws(() => finder(contradiction), { code: 'USAGE' });
});
