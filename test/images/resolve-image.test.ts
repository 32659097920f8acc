import test from 'ava';

import { resolveEntries, resolveImage } from '../../src/images/resolve-image.ts';
import { type Aci, type AciOptions, buildAci } from '../helpers/archive.ts';
import { storeContext } from '../helpers/store-context.ts';
import { putImage } from '../helpers/stored.ts';

test('an image is found by its complete ID, in any case, and by a unique prefix of it', async (t) => {
  const { store } = await storeContext(t);
  const { imageId } = await putImage(store, { name: 'example.com/app' });
  for (const asked of [
    imageId,
    imageId.slice(0, 39),
    imageId.slice(0, 9),
    `sha512-${imageId.slice(7).toUpperCase()}`,
  ]) {
    t.is((await resolveImage(store, asked)).imageId, imageId, asked);
  }
});

test('a prefix of two images is ambiguous, one digit is too short, and an unknown one is not in the store', async (t) => {
  const { store } = await storeContext(t);
  const [one, other] = await twoThatShareDigits();
  const first = await putImage(store, one);
  await putImage(store, other);
  await t.throwsAsync(resolveImage(store, first.imageId.slice(0, 9)), { code: 'ID_AMBIGUOUS' });
  await t.throwsAsync(resolveImage(store, first.imageId.slice(0, 8)), { code: 'ID_TOO_SHORT' });
  await t.throwsAsync(resolveImage(store, 'sha512-12341234'), { code: 'NOT_IN_STORE' });
  t.is((await resolveImage(store, first.imageId.slice(0, 19))).imageId, first.imageId);
});

test('a text that is neither an ID nor anything stored is not in the store', async (t) => {
  const { store } = await storeContext(t);
  for (const asked of ['sha512-not-existed', 'some~random~aci~name', 'example.com/app:1.0']) {
    await t.throwsAsync(resolveImage(store, asked), { code: 'NOT_IN_STORE' }, asked);
  }
});

test('a name finds the best image with the labels, and no os or arch is added to them', async (t) => {
  const { store } = await storeContext(t);
  const bare = await putImage(store, { name: 'example.com/app' }, { latest: true });
  const old = await putImage(store, { name: 'example.com/app', version: '1.0', labels: { os: 'linux', arch: 'i386' } });
  const now = await putImage(store, {
    name: 'example.com/app',
    version: '1.0',
    labels: { os: 'linux', arch: 'amd64' },
  });
  const find = async (asked: string) => (await resolveImage(store, asked)).imageId;
  t.is(await find('example.com/app'), bare.imageId);
  t.is(await find('example.com/app:1.0'), now.imageId);
  t.is(await find('example.com/app:1.0,arch=i386'), old.imageId);
  await t.throwsAsync(find('example.com/app:1.0,arch=armv7l'), { code: 'NOT_IN_STORE' });
});

test('a URL finds the image that was fetched from it', async (t) => {
  const { store } = await storeContext(t);
  const { imageId } = await putImage(store, { name: 'example.com/app' });
  const url = 'https://example.com/app.aci?build=1';
  await store.putRemote(url, { imageId, maxAgeMs: 0, checkedAtMs: 1 });
  t.is((await resolveImage(store, url)).imageId, imageId);
  await t.throwsAsync(resolveImage(store, 'https://example.com/app.aci'), { code: 'NOT_IN_STORE' });
});

test('paths find nothing in a store', async (t) => {
  const { store } = await storeContext(t);
  for (const asked of ['/tmp/app.aci', './app.aci', 'ftp://example.com/app.aci', 'sha512-zz']) {
    await t.throwsAsync(resolveImage(store, asked), { code: 'REFERENCE_INVALID' }, asked);
  }
});

test('a name stands for every image with it, and with labels for every one that has those, too', async (t) => {
  const { store } = await storeContext(t);
  const one = await putImage(store, { name: 'example.com/app', version: '1.0' });
  const two = await putImage(store, { name: 'example.com/app', version: '2.0' });
  await putImage(store, { name: 'example.com/app/other', version: '1.0' });
  const find = async (asked: string): Promise<string[]> =>
    (await resolveEntries(store, asked)).map(({ id }) => id).sort();
  t.deepEqual(await find('example.com/app'), [one.imageId, two.imageId].sort());
  t.deepEqual(await find('example.com/app:2.0'), [two.imageId]);
  t.deepEqual(await find(one.imageId), [one.imageId]);
  await t.throwsAsync(find('example.com/app:3.0'), { code: 'NOT_IN_STORE' });
});

async function twoThatShareDigits(): Promise<[AciOptions, AciOptions]> {
  const known = new Map<string, AciOptions>();
  for (let seed = 0; seed < 300; seed++) {
    const options = { name: 'example.com/app', size: 8, seed };
    const { imageId }: Aci = await buildAci(options);
    const other = known.get(imageId.slice(0, 9));
    if (other) return [other, options];
    known.set(imageId.slice(0, 9), options);
  }
  throw new Error('more images than there are pairs of digits');
}
