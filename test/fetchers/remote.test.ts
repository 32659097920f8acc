import test from 'ava';

import type { Store } from '../../src/index.ts';
import { buildAci } from '../helpers/archive.ts';
import { openFetching } from '../helpers/fetching.ts';
import { startOrigin } from '../helpers/origin.ts';

/** The store, but what was downloaded goes only once that is settled. */
function removingAfter(store: Store, settled: Promise<void>): Store {
  return {
    ...store,
    async openPartial(key) {
      const partial = await store.openPartial(key);
      const discard = (): Promise<void> => partial.discard().then(() => settled);
      return Object.create(partial, { discard: { value: discard } }) as typeof partial;
    },
  };
}

for (const how of ['resolve', 'reject'] as const) {
  test(`an image is there before its download has been tidied up, the batch ends after: ${how}`, async (t) => {
    const { store, fetch, finder } = await openFetching(t, { insecure: { image: true } });
    const origin = await startOrigin(t);
    const { bytes, imageId } = await buildAci({ name: 'example.com/app', size: 1_000_000 });
    origin.routes['/app.aci'] = { body: bytes, etag: '"1"' };
    const [tidied, there] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    tidied.promise.catch(() => undefined); // told to whoever discards, which may be later
    const slow = finder({
      store: removingAfter(store, tidied.promise),
      onEvent: ({ type }) => type === 'node-finished' && there.resolve(),
    });
    let isOver = false;
    const found = slow.findImage(`${origin.url}/app.aci`).finally(() => (isOver = true));
    await there.promise;
    t.like(await fetch(imageId), { status: 'present' });
    t.false(isOver);
    if (how === 'resolve') tidied.resolve();
    else tidied.reject(new Error('the file cannot be removed'));
    t.is(await found, imageId);
  });
}
