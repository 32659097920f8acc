import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

import test, { type ExecutionContext } from 'ava';

import { openStore } from '../../src/store/open-store.ts';
import type { Store } from '../../src/store/store.ts';
import { commitBlob, storeDirectory } from '../helpers/blob.ts';
import { namesInIndex } from '../helpers/registry-image.ts';
import { startStoreProcess } from '../helpers/store-process.ts';

/** `LONGSHORE_KILLS=50` for a long run. */
const rounds = Number(process.env['LONGSHORE_KILLS'] ?? 5);

/** Everything listed is there and is what its ID says. @returns how many images are listed. */
async function requireSound(t: ExecutionContext, store: Store): Promise<number> {
  let count = 0;
  for await (const { imageId } of store.images()) {
    const hash = createHash('sha512').update(await readFile(store.blobPath(imageId)));
    t.is(`sha512-${hash.digest('hex')}`, imageId);
    t.is(await store.blobState(imageId), 'intact');
    count += 1;
  }
  return count;
}

test('two processes killed at any moment leave a sound store, and the next one finishes', async (t) => {
  const dir = await storeDirectory(t);
  let listed = 0;
  for (let round = 0; round < rounds; round += 1) {
    const processes = [startStoreProcess(t, ['churn', dir]), startStoreProcess(t, ['churn', dir])];
    await Promise.all(processes.map((process) => process.line()));
    if (round % 2 === 0) await Promise.all(processes.map((process) => process.line())); // they have committed
    await setTimeout(Math.random() * 150);
    await Promise.all(processes.map((process) => process.kill()));

    await using reader = await openStore({ dir, readOnly: true });
    listed = Math.max(listed, await requireSound(t, reader));
  }
  t.true(listed > 0, 'they never got so far as to be interrupted');

  await using store = await openStore({ dir });
  const { imageId } = await commitBlob(store);
  await store.collect({ nowMs: Date.now(), partialsOlderThanMs: 0 });
  t.is(await store.blobState(imageId), 'intact');
  t.deepEqual(await Array.fromAsync(store.unreferenced()), []);
  t.is((await readdir(join(dir, 'tmp'))).length, 2); // our directory and its lock
  t.is((await readdir(join(dir, 'blobs', 'sha512'))).length, await requireSound(t, store));
});

test('registry images are complete after kills, and index.json names exactly them once the store was opened', async (t) => {
  const dir = await storeDirectory(t);
  let listed = 0;
  for (let round = 0; round < rounds; round += 1) {
    const processes = [startStoreProcess(t, ['churnRegistry', dir]), startStoreProcess(t, ['churnRegistry', dir])];
    await Promise.all(processes.map((process) => process.line()));
    if (round % 2 === 0) await Promise.all(processes.map((process) => process.line())); // they have committed
    await setTimeout(Math.random() * 300);
    await Promise.all(processes.map((process) => process.kill()));

    await (await openStore({ dir })).close();
    await using store = await openStore({ dir, readOnly: true });
    const images = await Array.fromAsync(store.registryImages());
    listed = Math.max(listed, images.length);
    for (const digest of new Set(images.flatMap(({ blobs }) => blobs))) {
      const hash = createHash('sha256').update(await readFile(store.digestPath(digest)));
      t.is(`sha256:${hash.digest('hex')}`, digest);
      t.true(await store.hasBlob(digest));
    }
    t.deepEqual(await namesInIndex(dir), images.map(({ reference }) => reference).sort());
  }
  t.true(listed > 0, 'they never got so far as to be interrupted');

  await using store = await openStore({ dir });
  await store.collect({ nowMs: Date.now() + 1000, partialsOlderThanMs: 0 });
  const images = await Array.fromAsync(store.registryImages());
  const needed = [...new Set(images.flatMap(({ blobs }) => blobs))].map((digest) => digest.slice('sha256:'.length));
  t.deepEqual((await readdir(join(dir, 'blobs', 'sha256'))).sort(), needed.sort());
});
