import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import test from 'ava';

import { type App, createApps } from '../../src/index.ts';
import { buildAci } from '../helpers/archive.ts';
import { codesOf, openFetching } from '../helpers/fetching.ts';
import { openGpg } from '../helpers/keys.ts';
import { startOrigin } from '../helpers/origin.ts';
import { openTrust } from '../helpers/trust.ts';

const gpg = await openGpg();
const key = await gpg.createKey();
test.after.always(() => gpg.close());

const sha256 = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

test('one batch fetches images by path, file URL, URL and name, each with all its facts, in the order of the apps', async (t) => {
  const { directory, finder, listed, leftovers } = await openFetching(t);
  const origin = await startOrigin(t, { sign: (bytes) => gpg.sign(key, bytes) });
  const keystore = await openTrust(t, gpg, { 'example.com': key });
  const base = await origin.publish({ name: 'example.com/base', version: '1', compress: 'gzip' });
  const web = await origin.publish({
    name: 'example.com/web',
    version: '2',
    labels: { tier: 'front' },
    compress: 'xz',
    size: 200_000,
    dependencies: [{ imageName: 'example.com/base', labels: [{ name: 'version', value: '1' }] }],
  });
  const latest = await origin.publish({ name: 'example.com/app' });
  const files = [];
  for (const name of ['one', 'two words']) {
    const aci = await buildAci({ name: `example.com/${name.slice(0, 3)}`, compress: 'bzip2' });
    const path = join(directory, `${name}.aci`);
    await writeFile(path, aci.bytes);
    await writeFile(`${path}.asc`, await gpg.sign(key, aci.bytes, { armor: false }));
    files.push({ ...aci, path });
  }
  const [one, two] = files;
  if (!one || !two) return t.fail();

  const asked = [
    `${web.url}?token=secret`,
    one.path,
    'example.com/app',
    pathToFileURL(two.path).href,
    'example.com/base:1',
  ];
  origin.routes[`${web.path}?token=secret`] = { body: web.bytes };
  origin.routes[`${web.path}.asc?token=secret`] = { body: await gpg.sign(key, web.bytes) };
  const apps = createApps(asked);
  const { outcomes, totals } = await finder({ keystore, discover: origin.discover }).findImages(apps);

  t.deepEqual(
    outcomes.map(({ index, reference }) => [index, reference]),
    asked.map((reference, index) => [index, reference]),
  );
  const common = { status: 'fetched', signedBy: [key], latest: false, dependencies: [], labels: {} };
  const expected = [
    {
      imageID: web.imageId,
      name: 'example.com/web',
      labels: { version: '2', tier: 'front' },
      digest: sha256(web.bytes),
      source: web.url,
      bytesDownloaded: web.bytes.length,
      dependencies: [base.imageId],
    },
    { imageID: one.imageId, name: 'example.com/one', digest: sha256(one.bytes), source: one.path, bytesDownloaded: 0 },
    {
      imageID: latest.imageId,
      name: 'example.com/app',
      digest: sha256(latest.bytes),
      source: latest.url,
      bytesDownloaded: latest.bytes.length,
      latest: true,
    },
    { imageID: two.imageId, name: 'example.com/two', digest: sha256(two.bytes), source: two.path, bytesDownloaded: 0 },
    {
      imageID: base.imageId,
      name: 'example.com/base',
      labels: { version: '1' },
      digest: sha256(base.bytes),
      source: base.url,
      bytesDownloaded: base.bytes.length,
    },
  ];
  for (const [index, facts] of expected.entries()) t.like(outcomes[index], { ...common, ...facts });
  for (const { durationMs } of outcomes) t.true(typeof durationMs === 'number' && durationMs >= 0);
  t.deepEqual(
    Array.from(apps, ({ imageID }) => imageID),
    [web.imageId, one.imageId, latest.imageId, two.imageId, base.imageId],
  );
  const bytesDownloaded = web.bytes.length + latest.bytes.length + base.bytes.length;
  const bytesStored = [web, one, latest, two, base].reduce((sum, { tar }) => sum + tar.length, 0);
  t.like(totals, { images: 5, nodes: 5, fetched: 5, present: 0, failed: 0, blocked: 0, cancelled: 0, retries: 0 });
  t.like(totals, { bytesDownloaded, bytesStored, requests: origin.requests.length });
  t.is(origin.served(base.path), 1, 'asked for and needed: brought once');
  t.is((await listed()).length, 5);
  t.deepEqual(await leftovers(), []);
});

test('an image that is requested twice is fetched once and has two outcomes; an ID is found in the store', async (t) => {
  const { fetchAll, store } = await openFetching(t);
  const origin = await startOrigin(t);
  const { url, path, imageId } = await origin.publish({ name: 'example.com/app' });
  const twice = await fetchAll([url, url]);
  t.deepEqual(
    twice.map(({ status, index, imageID }) => [status, index, imageID]),
    [
      ['fetched', 0, imageId],
      ['fetched', 1, imageId],
    ],
  );
  t.is(origin.served(path), 1);

  const wrong = `sha512-${imageId.startsWith('sha512-00') ? '11' : '00'}`;
  const [whole, prefix, none] = await fetchAll([
    imageId,
    imageId.slice(0, 20).toUpperCase().replace('SHA', 'sha'),
    wrong,
  ]);
  t.like(whole, { status: 'present', imageID: imageId, source: url, signedBy: [], bytesDownloaded: 0 });
  t.like(prefix, { status: 'present', imageID: imageId });
  t.like(none, { status: 'failed', error: { code: 'NOT_IN_STORE' } });
  t.is((await store.imagesNamed('example.com/app')).length, 1);
});

test('only stored images get an image ID, and references that cannot be parsed fail alone', async (t) => {
  const { directory, finder } = await openFetching(t);
  const { bytes, imageId } = await buildAci({ name: 'example.com/app' });
  await writeFile(join(directory, 'app.aci'), bytes);
  const apps: App[] = [
    { image: 'ftp://example.com/app' },
    { image: 'app.aci', directory },
    { image: './missing.aci', directory },
  ];
  const { outcomes, totals } = await finder().findImages(apps);
  t.deepEqual(outcomes.map(codesOf), [['REFERENCE_INVALID'], [], ['FILE_NOT_FOUND']]);
  t.deepEqual(
    apps.map(({ imageID }) => imageID),
    [undefined, imageId, undefined],
  );
  t.like(totals, { images: 3, nodes: 3, fetched: 1, failed: 2 });
});

test('credentials are sent to their https origin only, and an image behind a redirect is cached under the requested URL', async (t) => {
  const { fetch, store } = await openFetching(t);
  const origin = await startOrigin(t, { https: true });
  const elsewhere = await startOrigin(t, { https: true });
  const target = await elsewhere.publish({ name: 'example.com/app' });
  origin.routes['/app.aci'] = { status: 307, headers: { location: `${target.url}?signed=1` } };
  const host = `127.0.0.1:${origin.port}`;
  const options = { ca: [origin.ca, elsewhere.ca], headers: { [host]: { Authorization: 'Bearer sometoken' } } };
  const url = `${origin.url}/app.aci`;
  t.like(await fetch(url, options), { status: 'fetched', imageID: target.imageId, source: url });
  t.deepEqual(
    [...origin.requests, ...elsewhere.requests].map(({ headers }) => headers.authorization),
    ['Bearer sometoken', undefined],
  );
  t.is((await store.getRemote(url))?.imageId, target.imageId);
  t.is(await store.getRemote(`${target.url}?signed=1`), undefined);
});
