import { access } from 'node:fs/promises';

import test from 'ava';

import { removeImages } from '../../src/images/remove.ts';
import type { Store } from '../../src/store/store.ts';
import { storeContext } from '../helpers/store-context.ts';
import { putImage } from '../helpers/stored.ts';

test('a name alone removes every image of exactly that name, with a version only that one', async (t) => {
  const { store } = await storeContext(t);
  for (const version of ['1.0', '2.0', '3.0']) await putImage(store, { name: 'example.com/app', version });
  await putImage(store, { name: 'example.com/app-tools', version: '1.0' });
  t.deepEqual(await outcome(store, ['example.com/app:2.0']), ['removed 2.0']);
  t.deepEqual((await outcome(store, ['example.com/app'])).sort(), ['removed 1.0', 'removed 3.0']);
  t.deepEqual(await names(store), ['example.com/app-tools']);
});

test('name and ID of one image, in either order, remove it once', async (t) => {
  const { store } = await storeContext(t);
  for (const reversed of [false, true]) {
    const { imageId } = await putImage(store, { name: 'example.com/app', version: '1.0' });
    const asked = ['example.com/app', imageId.slice(0, 20)];
    t.deepEqual(await outcome(store, reversed ? asked.reverse() : asked), ['removed 1.0']);
  }
});

test('a failure does not stop the rest, and names the request', async (t) => {
  const { store } = await storeContext(t);
  await putImage(store, { name: 'example.com/app', version: '1.0' });
  const asked = ['example.com/gone', 'sha512-1', './x.aci', 'example.com/app', 'sha512-00000000'];
  t.deepEqual(await outcome(store, asked), [
    'NOT_IN_STORE example.com/gone',
    'ID_TOO_SHORT sha512-1',
    'REFERENCE_INVALID ./x.aci',
    'NOT_IN_STORE sha512-00000000',
    'removed 1.0',
  ]);
});

test('the blob is removed with the image, and its size is what was freed', async (t) => {
  const { store } = await storeContext(t);
  const image = await putImage(store, { name: 'example.com/app', size: 50_000 });
  const [removal] = await Array.fromAsync(removeImages(store, [image.imageId]));
  t.is(removal?.kind === 'removed' && removal.bytes, image.size);
  await t.throwsAsync(access(store.blobPath(image.imageId)), { code: 'ENOENT' });
});

async function outcome(store: Store, asked: readonly string[]): Promise<string[]> {
  const removals = await Array.fromAsync(removeImages(store, asked));
  return removals.map((one) =>
    one.kind === 'removed' ? `removed ${one.entry.labels.get('version')}` : `${one.error.code} ${one.asked}`,
  );
}

async function names(store: Store): Promise<string[]> {
  return (await Array.fromAsync(store.images())).map(({ name }) => name);
}
