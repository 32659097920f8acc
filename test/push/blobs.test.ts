import test from 'ava';

import { createPusher } from '../../src/pusher.ts';
import { openPushing } from '../helpers/pushing.ts';
import { types } from '../helpers/registry.ts';
import { sharedPool } from '../helpers/shared-pool.ts';

test('calls of one pusher, at the same time or later, send a blob once', async (t) => {
  const { registry, reference, fetch, store, target } = await openPushing(t);
  const names = ['a', 'b', 'c', 'd'];
  for (const name of names) registry.putImage(name, '1', { layers: ['shared', name] });
  for (const name of names) await fetch(reference(`${name}:1`));
  await using pusher = createPusher({ store, pool: sharedPool, retries: 0 });
  const push = (name: string) => pusher.pushImages([reference(`${name}:1`)], { to: `docker://${target.host}` });
  const results = await Promise.all(names.slice(0, 3).map(push));
  results.push(await push('d'));
  t.is(
    results.reduce((sum, { totals }) => sum + totals.blobsUploaded, 0),
    2 * names.length + 1,
  );
  t.is(
    results.reduce((sum, { totals }) => sum + totals.blobsMounted, 0),
    names.length - 1,
  );
});

test('a call that is stopped leaves its blobs to the others', async (t) => {
  const stop = new AbortController();
  const { registry, reference, fetch, store, target } = await openPushing(t, {
    async intercept({ method, url, request }) {
      if (method !== 'PUT' || !url.pathname.includes('/a/blobs/') || stop.signal.aborted) return false;
      request.resume();
      stop.abort();
      return new Promise<never>(() => undefined);
    },
  });
  for (const name of ['a', 'b']) registry.putImage(name, '1', { layers: ['shared', name] });
  for (const name of ['a', 'b']) await fetch(reference(`${name}:1`));
  await using pusher = createPusher({ store, pool: sharedPool, retries: 0 });
  const to = `docker://${target.host}`;
  const first = pusher.pushImages([reference('a:1')], { to, signal: stop.signal });
  const second = pusher.pushImages([reference('b:1')], { to });
  t.like((await first).totals, { cancelled: 1 });
  t.like((await second).totals, { pushed: 1, blobsUploaded: 3 });
});

for (const held of ['second/manifests', 'second/blobs'])
  test(`what an image that is at the target has is mounted from there, and not sent again; the other has asked for ${held}`, async (t) => {
    let isFirstThere = Promise.resolve();
    const { registry, reference, fetch, push } = await openPushing(t, {
      async intercept({ method, url }) {
        if (method === 'HEAD' && url.pathname.includes(held)) await isFirstThere;
        return false;
      },
    });
    const children = ['a', 'b'].map((architecture) =>
      registry.putImage('team/first', undefined, { layers: ['shared', architecture], architecture }),
    );
    const manifests = children.map(({ mediaType, digest, size }) => ({ mediaType, digest, size }));
    registry.putManifest('team/first', '1', { schemaVersion: 2, mediaType: types.index, manifests }, types.index);
    registry.putImage('team/second', '1', { layers: ['shared', 'b', 'second'] });
    await fetch(reference('team/first:1'), { platform: ['all'] });
    await fetch(reference('team/second:1'));
    await push([reference('team/first:1')]);
    const first = Promise.withResolvers<void>();
    isFirstThere = first.promise;
    const { outcomes, totals } = await push(
      [reference('team/first:1'), reference('team/second:1')],
      { onOutcome: () => first.resolve() },
      { jobs: 16, jobsPerHost: 16 },
    );
    t.deepEqual(
      outcomes.map(({ status }) => status),
      ['present', 'pushed'],
    );
    t.like(totals, { blobsUploaded: 2, blobsMounted: 2 });
  });
