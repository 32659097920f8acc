import test from 'ava';

import { createPusher } from '../../src/pusher.ts';
import { openPushing } from '../helpers/pushing.ts';
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
