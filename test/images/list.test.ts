import test from 'ava';

import { imageEntry, imageRow, listImages, type ListRequest } from '../../src/images/list.ts';
import type { StoredImage } from '../../src/store/store.ts';
import { storeContext } from '../helpers/store-context.ts';
import { putImage } from '../helpers/stored.ts';

test('images are listed in the order of their import unless another is requested', async (t) => {
  const { store } = await storeContext(t);
  await putImage(store, { name: 'b', size: 5000 });
  await putImage(store, { name: 'c', size: 100_000 });
  await putImage(store, { name: 'a', size: 20_000 });
  const names = async (request?: ListRequest): Promise<string> =>
    (await Array.fromAsync(listImages(store, request))).map(({ name }) => name).join('');
  t.is(await names(), 'bca');
  t.is(await names({ order: 'desc' }), 'acb');
  t.is(await names({ sort: 'name' }), 'abc');
  t.is(await names({ sort: 'size', order: 'asc' }), 'bac');
  t.is(await names({ sort: 'size', order: 'desc' }), 'cab');
});

test('an empty store lists nothing', async (t) => {
  const { store } = await storeContext(t);
  t.deepEqual(await Array.fromAsync(listImages(store)), []);
});

test('a row is plain data: complete IDs, an object of labels, ISO times, and how it was verified', (t) => {
  const image: StoredImage = {
    imageId: `sha512-${'0'.repeat(128)}` as StoredImage['imageId'], // its parser has tests of its own
    name: 'example.com/app',
    labels: new Map([['version', '1.0']]),
    size: 10,
    importedAtMs: 0,
    lastUsedAtMs: 86_400_000,
    latest: true,
    source: 'https://example.com/app.aci',
    digest: `sha256:${'1'.repeat(64)}`,
    verified: ['ab'.repeat(20)],
    weak: false,
    dependencies: [],
  };
  t.deepEqual(imageRow(imageEntry(image)), {
    imageID: image.imageId,
    name: 'example.com/app',
    labels: { version: '1.0' },
    size: 10,
    importedAt: '1970-01-01T00:00:00.000Z',
    lastUsedAt: '1970-01-02T00:00:00.000Z',
    latest: true,
    source: 'https://example.com/app.aci',
    verified: ['ab'.repeat(20)],
    digest: `sha256:${'1'.repeat(64)}`,
  });
  t.false(imageRow(imageEntry({ ...image, verified: false })).verified);
});
