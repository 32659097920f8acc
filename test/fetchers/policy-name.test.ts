import test, { type ExecutionContext } from 'ava';

import type { BatchEvent } from '../../src/internal.ts';
import { buildAci } from '../helpers/archive.ts';
import { codesOf, openFetching } from '../helpers/fetching.ts';
import { startOrigin } from '../helpers/origin.ts';
import { putImage } from '../helpers/stored.ts';

const name = 'example.com/app';
const reference = `${name}:1`;

async function origin1(t: ExecutionContext, headers: Record<string, string> = {}) {
  const origin = await startOrigin(t);
  const image = await origin.publish({ name, version: '1' }, { etag: '"1"', headers });
  const fetching = await openFetching(t, { discover: origin.discover });
  return { ...fetching, origin, ...image };
}

test('new: a stored name needs no request, any other is discovered', async (t) => {
  const { fetch, origin, imageId, path } = await origin1(t);
  t.like(await fetch(reference), { status: 'fetched', imageID: imageId, latest: false });
  t.is(origin.served(path), 1);
  const before = origin.requests.length;
  t.like(await fetch(reference), { status: 'present', imageID: imageId });
  t.like(await fetch(name), { status: 'present', imageID: imageId });
  t.is(origin.requests.length, before);
});

test('many names, of which most are there: each has its events and its outcome, those that are there in the order of the list', async (t) => {
  const { store, finder } = await openFetching(t, { storeOnly: true });
  const isThere = (index: number): boolean => index % 5 !== 3;
  const images = Array.from({ length: 200 }, (_, index) => `example.com/${index}`);
  await Promise.all(images.filter((_, index) => isThere(index)).map((name) => putImage(store, { name })));
  images[7] = 'example.com/7,os=linux,arch=vax'; // there is no such platform
  const events: BatchEvent[] = [];
  const { outcomes, totals } = await finder({ onEvent: (event) => events.push(event) }).findImages(
    images.map((image) => ({ image })),
  );
  const wanted = (index: number) => (index === 7 ? 'LABEL_INVALID' : isThere(index) ? 'present' : 'NOT_IN_STORE');
  t.deepEqual(
    outcomes.map(({ index, status, error }) => [index, error?.code ?? status]),
    images.map((_, index) => [index, wanted(index)]),
  );
  t.like(totals, { images: 200, nodes: 200, present: 159, failed: 41 });
  const byKey = Map.groupBy(events, (event) => ('key' in event ? event.key : ''));
  byKey.delete('');
  t.is(byKey.size, 200);
  for (const [key, own] of byKey) {
    t.deepEqual(
      own.map(({ type }) => type),
      ['node-added', 'node-started', 'node-finished'],
      key,
    );
  }
  const ended = events.filter((event) => event.type === 'node-finished').map(({ outcome }) => outcome);
  const present = ended.flatMap(({ index, status }) => (status === 'present' ? [index] : []));
  t.deepEqual(
    present,
    images.flatMap((_, index) => (wanted(index) === 'present' ? [index] : [])),
  );
});

test('update: discovery each time, and the archive only if it has changed', async (t) => {
  const { fetch, origin, imageId, path } = await origin1(t);
  await fetch(reference);
  t.like(await fetch(reference, { noStore: true }), { status: 'present', imageID: imageId, bytesDownloaded: 0 });
  t.deepEqual(
    origin.requests.filter(({ url }) => url === path).map(({ headers }) => headers['if-none-match']),
    [undefined, '"1"'],
  );
  const next = await buildAci({ name, version: '1', size: 1000 });
  origin.routes[path] = { body: next.bytes, etag: '"2"' };
  t.like(await fetch(reference, { pullPolicy: 'update' }), { status: 'fetched', imageID: next.imageId });
});

test('update: within its max-age an archive is not requested, but the name is discovered', async (t) => {
  const { fetch, origin, path } = await origin1(t, { 'cache-control': 'max-age=86400' });
  await fetch(reference);
  const before = origin.requests.length;
  t.like(await fetch(reference, { pullPolicy: 'update' }), { status: 'present' });
  t.true(origin.requests.length > before);
  t.is(origin.served(path), 1);
});

test('never: only the store is used', async (t) => {
  const { fetch, origin, imageId } = await origin1(t);
  t.deepEqual(codesOf(await fetch(reference, { storeOnly: true })), ['NOT_IN_STORE']);
  t.is(origin.requests.length, 0);
  await fetch(reference);
  const before = origin.requests.length;
  t.like(await fetch(reference, { storeOnly: true }), { status: 'present', imageID: imageId });
  t.deepEqual(codesOf(await fetch(`${name}:2`, { storeOnly: true })), ['NOT_IN_STORE']);
  t.is(origin.requests.length, before);
});

test('without a version the latest is requested, and stored as such', async (t) => {
  const { fetch, origin } = await origin1(t);
  const latest = await origin.publish({ name });
  t.like(await fetch(name), { status: 'fetched', imageID: latest.imageId, latest: true, source: latest.url });
  await fetch(reference);
  t.like(await fetch(name), { status: 'present', imageID: latest.imageId, latest: true });
});

test('a URL that gave another image before is requested again when that is no longer fresh', async (t) => {
  const { fetch, fetchAll, store, origin, path, url } = await origin1(t, { 'cache-control': 'max-age=86400' });
  const other = await buildAci({ name: 'example.com/other' });
  const right = origin.routes[path];
  origin.routes[path] = { body: other.bytes, etag: '"0"', headers: { 'cache-control': 'max-age=86400' } };
  await fetchAll([url]);
  t.deepEqual(codesOf(await fetch(reference)), ['NAME_MISMATCH']);
  t.is(origin.served(path), 1);
  const record = await store.getRemote(url);
  if (!record || !right) return t.fail();
  await store.putRemote(url, { ...record, checkedAtMs: 0 });
  t.deepEqual(codesOf(await fetch(reference)), ['NAME_MISMATCH'], 'a 304 is the same image');
  await store.putRemote(url, { ...record, checkedAtMs: 0 });
  origin.routes[path] = right;
  t.like(await fetch(reference), { status: 'fetched', name });
});

test('an image without os and arch is found by name; one for another platform is not', async (t) => {
  const { fetch, origin } = await origin1(t);
  const noarch = await origin.publish({ name: 'example.com/noarch', version: '1' });
  t.like(await fetch('example.com/noarch:1'), { status: 'fetched', imageID: noarch.imageId });
  t.like(await fetch('example.com/noarch:1'), { status: 'present' });
  await origin.publish({ name: 'example.com/foreign', version: '1', labels: { os: 'freebsd', arch: 'amd64' } });
  t.deepEqual(codesOf(await fetch('example.com/foreign:1')), ['LABEL_MISMATCH']);
  t.like(await fetch('example.com/foreign:1,os=freebsd,arch=amd64'), { status: 'fetched' });
});

test('the image must have every requested label, with the same value (T84)', async (t) => {
  const { fetch, fetchAll, origin, listed } = await origin1(t);
  const labels = { os: 'linux', arch: 'amd64' };
  const { bytes } = await buildAci({ name, version: '1.2.0', labels });
  origin.routes['/any.aci'] = { body: bytes };
  origin.routes['/example.com'] = { body: `<meta name="ac-discovery" content="example.com ${origin.url}/any.{ext}">` };
  const asked = [`${name}:2.0`, `${name}:latest`, `${name},arch=aarch64`, `${name}:1.2.0,channel=stable`];
  const outcomes = await fetchAll(asked);
  t.deepEqual(
    outcomes.map(({ error }) => [error?.code, error?.details]),
    [
      ['LABEL_MISMATCH', { label: 'version', asked: '2.0', found: '1.2.0' }],
      ['LABEL_MISMATCH', { label: 'version', asked: 'latest', found: '1.2.0' }],
      ['LABEL_MISMATCH', { label: 'arch', asked: 'aarch64', found: 'amd64' }],
      ['LABEL_MISMATCH', { label: 'channel', asked: 'stable' }],
    ],
  );
  t.deepEqual(await listed(), []);
  t.like(await fetch(`${name}:1.2.0,arch=amd64`), { status: 'fetched', labels: { version: '1.2.0', ...labels } });
});

test('the next endpoint is tried if one is unavailable, and a refused image ends the search', async (t) => {
  const { fetch, origin, path } = await origin1(t);
  const page = (...prefixes: string[]) =>
    prefixes
      .map((at) => `<meta name="ac-discovery" content="example.com ${origin.url}${at}/{name}-{version}.{ext}">`)
      .join('');
  origin.routes['/example.com'] = { body: page('/gone', '') };
  const events: string[] = [];
  t.like(
    await fetch(reference, {
      onEvent: (event) => {
        if (event.type === 'warning') events.push(event.message);
      },
    }),
    { status: 'fetched' },
  );
  t.is(events.length, 1);
  t.regex(events[0] ?? '', /\/gone\/example\.com\/app-1\.aci: HTTP_STATUS: /);

  const other = await buildAci({ name: 'example.com/other' });
  origin.routes['/bad/example.com/app-2.aci'] = { body: other.bytes };
  await origin.publish({ name, version: '2' });
  origin.routes['/example.com'] = { body: page('/bad', '') };
  t.deepEqual(codesOf(await fetch(`${name}:2`)), ['NAME_MISMATCH']);

  origin.routes['/example.com'] = { body: page('/gone', '/away') };
  const nowhere = await fetch(`${name}:3`);
  t.deepEqual(codesOf(nowhere), ['DISCOVERY_FAILED', 'HTTP_STATUS']);
  t.like(nowhere.error?.details, {
    attempts: [`${origin.url}/gone/${name}-3.aci`, `${origin.url}/away/${name}-3.aci`],
  });
  t.is(origin.served(path), 1);
});

test('a name without a usable tag on any page is not found', async (t) => {
  const { fetch } = await origin1(t);
  t.deepEqual(codesOf(await fetch('example.org/app', { discover: [], denyNet: ['0.0.0.0/0', '::/0'] })).slice(0, 1), [
    'DISCOVERY_FAILED',
  ]);
});
