import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import test, { type ExecutionContext } from 'ava';

import type { Outcome } from '../../src/internal.ts';
import { openFetching } from '../helpers/fetching.ts';
import { held } from '../helpers/held.ts';
import { startOrigin } from '../helpers/origin.ts';
import { startProcess } from '../helpers/store-process.ts';
import { untilDownloaded } from '../helpers/until.ts';

const script = fileURLToPath(new URL('../helpers/fetch-child.ts', import.meta.url));

/** Another process that fetches into a store. */
function fetchElsewhere(t: ExecutionContext, dir: string, images: readonly string[]) {
  const child = startProcess(t, [script, dir, ...images]);
  return {
    kill: () => child.kill(),
    outcomes: async () => JSON.parse((await child.line()) ?? '[]') as readonly Outcome[], // what the script prints
  };
}

test('two processes with one list and one store fetch each image once', async (t) => {
  const { store, listed, leftovers } = await openFetching(t);
  const origin = await startOrigin(t);
  const published = [];
  for (let at = 0; at < 12; at++) {
    const size = at % 3 === 0 ? 2_500_000 : 10_000;
    published.push(
      await origin.publish({ name: `example.com/i${at}`, size, seed: at }, { delayMs: 300, etag: `"${at}"` }),
    );
  }
  const urls = published.map(({ url }) => url);
  const both = [fetchElsewhere(t, store.dir, urls), fetchElsewhere(t, store.dir, [...urls].reverse())];
  const [one = [], other = []] = await Promise.all(both.map(({ outcomes }) => outcomes()));
  for (const [at, { imageId, path }] of published.entries()) {
    const mine = one[at];
    const theirs = other[published.length - 1 - at];
    t.deepEqual([mine?.imageID, theirs?.imageID], [imageId, imageId]);
    t.deepEqual([mine?.status, theirs?.status].sort(), ['fetched', 'present']);
    t.is(origin.served(path), 1);
  }
  t.is((await listed()).length, published.length);
  t.deepEqual(await leftovers(), []);
});

test('after a process is killed during a fetch, a waiting one downloads only the rest', async (t) => {
  const { directory, finder, leftovers } = await openFetching(t);
  const origin = await startOrigin(t);
  const { url, imageId, bytes, path } = await origin.publish({ name: 'example.com/app', size: 6_000_000 });
  const slow = (origin.routes[path] = held(bytes));
  const { kill } = fetchElsewhere(t, join(directory, 'store'), [url]);
  await slow.asked;
  const waiting = Promise.withResolvers<void>();
  const opened = finder({ onEvent: ({ type }) => type === 'waiting' && waiting.resolve() });
  const finding = opened.findImages([{ image: url }]);
  await waiting.promise;
  await untilDownloaded(join(directory, 'store'), 1_000_000);
  t.is(origin.served(path), 1);
  await kill();
  slow.release();
  const { outcomes } = await finding;
  t.like(outcomes[0], { status: 'fetched', imageID: imageId });
  t.true((outcomes[0]?.bytesDownloaded ?? 0) < bytes.length, 'the rest');
  t.is(origin.served(path), 2);
  t.deepEqual(await leftovers(), []);
});
