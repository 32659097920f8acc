import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import {
  type ActionOptions,
  createFetcher,
  createKeyFinder,
  openFetchPool,
  openKeystore,
  openStore,
  type Outcome,
} from '../../src/internal.ts';
import { openFetching } from '../helpers/fetching.ts';
import { held } from '../helpers/held.ts';
import { startOrigin } from '../helpers/origin.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const name = 'example.com/app';

/** A batch of an image whose body is held back, one whose server is silent, and one whose turn does not come. */
async function openBatch(t: ExecutionContext, options: Partial<ActionOptions> = {}) {
  const directory = await temporaryDirectory(t);
  const store = await openStore({ dir: join(directory, 'store') });
  t.teardown(() => store.close());
  const { finder } = await openFetching(t);
  const origin = await startOrigin(t);
  const large = await origin.publish({ name, size: 4_000_000 });
  const body = held(large.bytes);
  origin.routes[large.path] = body;
  const silent = await origin.publish({ name: 'example.com/silent' }, { delayMs: 600_000 });
  const opened = finder({ store, jobs: 2, ...options });
  const images = [large.url, silent.url, `${silent.url}?2`];
  const finding = opened.findImages(images.map((image) => ({ image })));
  await body.asked;
  return { store, finder: opened, finding, origin };
}

const shown = (outcomes: readonly Outcome[]) =>
  outcomes.map(({ status, error }) => [status, error?.code, error && 'what' in error.details && error.details.what]);

test('when the store of a running batch is closed its images fail with CLOSED, and it ends', async (t) => {
  const { store, finding, finder } = await openBatch(t);
  await store.close();
  const { outcomes, totals } = await finding;
  t.deepEqual(
    shown(outcomes),
    outcomes.map(() => ['failed', 'CLOSED', 'store']),
  );
  t.like(totals, { images: 3, failed: 3, cancelled: 0 });
  const [after] = (await finder.findImages([{ image: name }])).outcomes;
  t.like(after, { status: 'failed', error: { code: 'CLOSED', details: { what: 'store' } } });
  await t.throwsAsync(finder.findImage(name), { code: 'CLOSED' });
  await finder.close();
});

test('when the pool that a running batch was given is closed its images fail with CLOSED, and it ends', async (t) => {
  const pool = openFetchPool({ workers: 1 });
  const { finding, store } = await openBatch(t, { pool });
  await pool.close();
  const { outcomes } = await finding;
  t.deepEqual(
    shown(outcomes),
    outcomes.map(() => ['failed', 'CLOSED', 'pool']),
  );
  t.deepEqual(await Array.fromAsync(store.images()), []);
});

test('what needs a closed keystore fails with CLOSED', async (t) => {
  const { fetch } = await openFetching(t);
  const origin = await startOrigin(t, { sign: (bytes) => Promise.resolve(bytes) });
  await origin.publish({ name });
  const keystore = await openKeystore({ dirs: [await temporaryDirectory(t)] });
  await keystore.close();
  await keystore.close();
  t.like(await fetch(name, { keystore, discover: origin.discover }), {
    status: 'failed',
    error: { code: 'CLOSED', details: { what: 'keystore' } },
  });
  const key = { fingerprint: '0'.repeat(40), layer: 0 };
  for (const asked of [
    keystore.keyring(name),
    keystore.hasPrefixKey(name),
    keystore.trusts(name, []),
    keystore.list(),
    keystore.add({ ...key, certificate: new Uint8Array(1) }),
    keystore.remove(key),
  ])
    await t.throwsAsync(asked, { code: 'CLOSED' });
});

test('a closed fetcher and a closed key finder say so', async (t) => {
  const { store } = await openFetching(t);
  const origin = await startOrigin(t);
  const { url } = await origin.publish({ name }, { delayMs: 600_000 });
  const fetcher = createFetcher({ store, workers: 1 });
  const fetching = t.throwsAsync(fetcher.fetchImage(url), { code: 'CANCELLED' });
  await fetcher.close();
  t.like((await fetching).cause, { code: 'CLOSED', details: { what: 'fetcher' } });
  t.like(await t.throwsAsync(fetcher.fetchImage(url)), { code: 'CLOSED', details: { what: 'fetcher' } });

  const { signal } = new AbortController();
  const keys = createKeyFinder({ insecure: { http: true } });
  const getting = t.throwsAsync(keys.getKey(url, signal), { code: 'CANCELLED' });
  await keys.close();
  t.like((await getting).cause, { code: 'CLOSED' });
  await t.throwsAsync(keys.getKey(url, signal), { code: 'CLOSED' });
  await t.throwsAsync(keys.findKeys(name, signal), { code: 'CLOSED' });
  await keys.close();
});

test('a finder whose threads cannot be started is closed all the same', async (t) => {
  const { finder } = await openFetching(t);
  const origin = await startOrigin(t);
  const { url } = await origin.publish({ name });
  const pool = openFetchPool({ workers: 0 });
  const opened = finder({ pool });
  await opened.findImages([{ image: url }]);
  await opened.close();
  await pool.close();
  await pool.close();
  await t.throwsAsync(pool.run('start', {}), { code: 'CLOSED' });
  t.throws(() => pool.warmUp(), { code: 'CLOSED' });
  await t.throwsAsync(pool.recycle(1), { code: 'CLOSED' });
});
