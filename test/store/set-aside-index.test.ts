import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { openStore } from '../../src/store/open-store.ts';
import { setAsideIndex } from '../../src/store/set-aside-index.ts';
import { commitBlob, storeDirectory } from '../helpers/blob.ts';

test('after its damaged index is set aside a store opens, and its blobs are there to be taken in again', async (t) => {
  const dir = await storeDirectory(t);
  const store = await openStore({ dir });
  const { imageId } = await commitBlob(store);
  await store.close();
  await writeFile(join(dir, 'index.sqlite'), 'this is no database, whatever it may look like');
  await writeFile(join(dir, 'index.sqlite-wal'), 'nor is this its log');
  await t.throwsAsync(openStore({ dir }), { code: 'STORE_CORRUPT' });

  const aside = await setAsideIndex(dir, 1);

  t.true(existsSync(aside));
  await using repaired = await openStore({ dir, relisting: true });
  t.deepEqual(await Array.fromAsync(repaired.unreferenced()), [store.blobPath(imageId)]);
  t.truthy(await commitBlob(repaired));
});

test('where there is no index there is nothing to set aside', async (t) => {
  await t.throwsAsync(setAsideIndex(await storeDirectory(t), 1), { code: 'STORE_CORRUPT' });
});
