import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { createApps, type LockedImage } from '../../../src/index.ts';
import type { Store } from '../../../src/internal.ts';
import { buildAci } from '../../helpers/archive.ts';
import { openFetching } from '../../helpers/fetching.ts';
import { startOrigin } from '../../helpers/origin.ts';
import { temporaryDirectory } from '../../helpers/stored.ts';

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
  for (const isWaiting of [false, true]) {
    const whose = isWaiting ? 'one that waited for another' : 'the first';
    test(`an image is there before its download has been tidied up, the batch ends after: ${whose}, ${how}`, async (t) => {
      const { store, fetch, finder } = await openFetching(t, { insecure: { image: true } });
      const origin = await startOrigin(t);
      const { bytes, imageId } = await buildAci({ name: 'example.com/app', size: 1_000_000 });
      const url = `${origin.url}/app.aci`;
      origin.routes['/app.aci'] = { body: bytes, etag: '"1"' };
      const other = isWaiting ? await store.tryClaim(url) : undefined;
      const [tidied, there] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      tidied.promise.catch(() => undefined); // told to whoever discards, which may be later
      const slow = finder({
        store: removingAfter(store, tidied.promise),
        onEvent({ type }) {
          if (type === 'waiting') void other?.release();
          if (type === 'node-finished') there.resolve();
        },
      });
      let isOver = false;
      const found = slow.findImage(url).finally(() => (isOver = true));
      await there.promise;
      t.like(await fetch(imageId), { status: 'present' });
      t.false(isOver);
      t.is(await store.tryClaim(url), undefined, 'nobody else may begin where something is still removed');
      if (how === 'resolve') tidied.resolve();
      else tidied.reject(new Error('the file cannot be removed'));
      t.is(await found, imageId);
      const claim = await store.tryClaim(url);
      t.truthy(claim);
      await claim?.release();
    });
  }
}

test('an image that a lock names, which another fetch has brought meanwhile, is asked of nobody, though the server has another one now', async (t) => {
  const { store, fetch, finder } = await openFetching(t, { insecure: { image: true, http: true } });
  const origin = await startOrigin(t);
  const { bytes, imageId } = await buildAci({ name: 'example.com/app' });
  const url = `${origin.url}/app.aci`;
  origin.routes['/app.aci'] = { body: (await buildAci({ name: 'example.com/other' })).bytes };
  const other = await store.tryClaim(url);
  const [waits, lock] = [
    Promise.withResolvers<void>(),
    { images: new Map<string, LockedImage>([[url, { imageID: imageId }]]), frozen: true, onFound: () => undefined },
  ];
  const waiting = finder({
    pullPolicy: 'update',
    onEvent: ({ type }) => void (type === 'waiting' && waits.resolve()),
  }).findImages(createApps([url]), { lock });
  await waits.promise;
  const file = join(await temporaryDirectory(t), 'app.aci');
  await writeFile(file, bytes);
  await fetch(file);
  await store.putRemote(url, { imageId, checkedAtMs: Date.now() - 60_000, maxAgeMs: 0 }); // its server was asked before this fetch began
  await other?.release();

  t.like((await waiting).outcomes[0], { status: 'present', imageID: imageId });
  t.deepEqual(origin.requests, []);
});
