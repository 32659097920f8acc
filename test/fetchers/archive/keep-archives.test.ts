import { createHash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import test, { type ExecutionContext } from 'ava';

import { parseDigest } from '../../../src/image/digest.ts';
import { createApps } from '../../../src/index.ts';
import type { Aci } from '../../helpers/archive.ts';
import { codesOf, type Fetching, openFetching } from '../../helpers/fetching.ts';
import { openGpg } from '../../helpers/keys.ts';
import { startOrigin } from '../../helpers/origin.ts';
import { openTrust } from '../../helpers/trust.ts';

const gpg = await openGpg();
const key = await gpg.createKey();
test.after.always(() => gpg.close());

const name = 'example.com/app';
const keepArchives = true;
/** In memory while it comes, and in a file. */
const sizes = { small: 1_000, large: 300_000 } as const;
/** So that an image of that size is as large when it is packed. */
const seed = 1;

async function verifying(t: ExecutionContext) {
  const keystore = await openTrust(t, gpg, { 'example.com': key });
  const origin = await startOrigin(t, { sign: (bytes) => gpg.sign(key, bytes) });
  return { origin, keystore, ...(await openFetching(t, { keystore, discover: origin.discover })) };
}

/** Checks that the store has exactly the bytes that were published, and nothing else of the transfer. */
async function isKept(t: ExecutionContext, { store, leftovers }: Fetching, { imageId, bytes }: Aci): Promise<void> {
  const archive = await store.archiveOf(imageId);
  if (!archive) return t.fail('it is not kept');
  const { path, digest, size, compression, signatures } = archive;
  t.true((await readFile(path)).equals(bytes));
  t.is(digest, parseDigest(`sha256:${createHash('sha256').update(bytes).digest('hex')}`));
  t.deepEqual({ size, compression }, { size: bytes.length, compression: 'gzip' });
  t.is(await store.digestState(digest, size), 'intact');
  t.deepEqual(await leftovers(), []);
  for (const { signedBy } of signatures) t.deepEqual(signedBy, [key]);
  t.is(signatures.length, (await store.getImage(imageId))?.verified ? 1 : 0);
}

for (const [what, size] of Object.entries(sizes)) {
  test(`a ${what} archive is kept as it came, by URL, by name and by file, with its signature`, async (t) => {
    const { origin, keystore, directory } = await verifying(t);
    const aci = await origin.publish({ name, version: '1', size, seed, compress: 'gzip' }, { etag: '"1"' });
    const file = join(directory, 'app.aci');
    await writeFile(file, aci.bytes);
    await writeFile(`${file}.asc`, await gpg.sign(key, aci.bytes));
    for (const reference of [aci.url, `${name}:1`, file]) {
      const fetching = await openFetching(t, { keystore, discover: origin.discover, keepArchives });
      t.like(await fetching.fetch(reference), { status: 'fetched', imageID: aci.imageId, signedBy: [key] }, reference);
      await isKept(t, fetching, aci);
    }
    const { store, fetch } = await openFetching(t);
    await fetch(file);
    t.is(await store.archiveOf(aci.imageId), undefined, 'only if that is asked for');
  });

  test(`a ${what} archive that is refused is not kept`, async (t) => {
    const { origin, fetch, store, leftovers } = await verifying(t);
    const { url, path } = await origin.publish({ name, version: '1', size, seed, compress: 'gzip' });
    origin.routes[`${path}.asc`] = { body: await gpg.sign(key, Buffer.from('another')) };
    t.deepEqual(codesOf(await fetch(url, { keepArchives })), ['SIGNATURE_INVALID']);
    t.deepEqual(await Array.fromAsync(store.blobRows()), []);
    t.deepEqual(await leftovers(), []);
  });
}

test('an archive that comes in several answers is kept as it is', async (t) => {
  const fetching = await openFetching(t, { keepArchives, retries: 2 });
  const origin = await startOrigin(t);
  const aci = await origin.publish(
    { name, size: 3_000_000, seed, compress: 'gzip' },
    { etag: '"1"', cutAfter: 1_500_000 },
  );
  t.like(await fetching.fetch(aci.url), { status: 'fetched' });
  t.true(origin.requests.length > 1);
  await isKept(t, fetching, aci);
});

test('an image that is there without its archive is fetched again for it, and then it is there', async (t) => {
  const { origin, ...fetching } = await verifying(t);
  const { fetch } = fetching;
  const aci = await origin.publish({ name, version: '1', size: sizes.large, seed, compress: 'gzip' }, { etag: '"1"' });
  await fetch(`${name}:1`);
  t.like(await fetch(`${name}:1`, { keepArchives, storeOnly: true }), { status: 'present' }, 'nobody may be asked');
  t.like(await fetch(aci.imageId, { keepArchives }), { status: 'present' }, 'an ID can only be had from the store');
  t.is(origin.served(aci.path), 1);
  t.like(await fetch(`${name}:1`, { keepArchives }), { status: 'fetched' });
  await isKept(t, fetching, aci);
  for (const reference of [`${name}:1`, aci.url]) {
    t.like(await fetch(reference, { keepArchives }), { status: 'present' }, reference);
    t.like(await fetch(reference, { keepArchives, pullPolicy: 'update' }), { status: 'present' }, reference);
  }
  t.is(origin.served(aci.path), 2 + 3, 'it was asked three times whether it has changed');
  await isKept(t, fetching, aci);
});

test('an image is fetched again only for its own archive: its dependencies have theirs', async (t) => {
  const { origin, fetchAll, store } = await verifying(t);
  const base = await origin.publish({ name: 'example.com/base', version: '1' });
  const dependencies = [{ imageName: 'example.com/base', labels: [{ name: 'version', value: '1' }] }];
  const app = await origin.publish({ name, version: '1', dependencies });
  await fetchAll(['example.com/base:1'], { keepArchives });
  await fetchAll([`${name}:1`]);
  const outcomes = await fetchAll([`${name}:1`], { keepArchives });
  t.like(outcomes, [{ status: 'fetched' }]);
  t.deepEqual([origin.served(base.path), origin.served(app.path)], [1, 2]);
  t.truthy(await store.archiveOf(app.imageId));
});

for (const damage of ['removed', 'changed'] as const) {
  test(`an archive that was ${damage} is fetched again`, async (t) => {
    const { origin, ...fetching } = await verifying(t);
    const { fetch, store } = fetching;
    const aci = await origin.publish({ name, version: '1', size: sizes.small, compress: 'gzip' });
    await fetch(aci.url, { keepArchives });
    const { path } = (await store.archiveOf(aci.imageId)) ?? t.fail('none');
    await rm(path);
    if (damage === 'changed') await writeFile(path, Buffer.alloc(aci.bytes.length));
    t.like(await fetch(`${name}:1`), { status: 'present' }, 'the image itself is there');
    t.like(await fetch(`${name}:1`, { keepArchives }), { status: 'fetched' });
    await isKept(t, fetching, aci);
  });
}

test('an archive that was kept without a look at its signature is fetched again with it', async (t) => {
  const { origin, directory, ...fetching } = await verifying(t);
  const { store, fetch } = fetching;
  const aci = await origin.publish({ name, version: '1' });
  const [first, second] = [1, 9].map((level) => gzipSync(aci.tar, { level }));
  const file = join(directory, 'app.aci');
  await writeFile(file, first ?? '');
  origin.routes[aci.path] = { body: second ?? '' };
  origin.routes[`${aci.path}.asc`] = { body: await gpg.sign(key, second ?? Buffer.of()) };
  await fetch(file, { keepArchives, insecure: { image: true } });
  await fetch(`${name}:1`); // verified, by other bytes
  t.deepEqual((await store.archiveOf(aci.imageId))?.signatures, []);
  t.like(await fetch(`${name}:1`, { keepArchives }), { status: 'fetched' });
  t.is((await store.archiveOf(aci.imageId))?.signatures.length, 1);
});

test('what is stored counts the archives, and a plan counts what they will take', async (t) => {
  const { origin, finder, store, directory } = await verifying(t);
  const acis = await Promise.all(
    [1, 2].map((version) =>
      origin.publish({ name, version: String(version), size: version * 10_000, compress: 'gzip' }),
    ),
  );
  const file = join(directory, 'app.aci');
  await writeFile(file, acis[0]?.bytes ?? '');
  await writeFile(`${file}.asc`, await gpg.sign(key, acis[0]?.bytes ?? Buffer.of()));
  const needed = async (images: readonly string[], options: object): Promise<number> =>
    (await finder(options).planImages(createApps(images))).totals.diskNeeded;
  const names = [`${name}:1`, `${name}:2`];
  const [one = 0, two = 0] = acis.map(({ bytes }) => bytes.length);
  t.is(await needed(names, {}), one + two + one, 'at least one of them lies beside its image for a while');
  t.is(await needed(names, { keepArchives }), one + two + one + two, 'both stay');
  t.is((await needed([file], { keepArchives })) - (await needed([file], {})), one);

  const { totals } = await finder({ keepArchives }).findImages(createApps(names));
  const images = await Array.fromAsync(store.images());
  t.is(totals.bytesStored, images.reduce((sum, { size }) => sum + size, 0) + one + two);
});
