import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import test, { type ExecutionContext } from 'ava';

import { judgeStored } from '../../src/internal.ts';
import { acceptedOnly, followStore } from '../../src/serve/current-store.ts';
import { openStore } from '../../src/store/open-store.ts';
import { createVerifier } from '../../src/verify/verify.ts';
import { openFetching } from '../helpers/fetching.ts';
import { openGpg } from '../helpers/keys.ts';
import { startOrigin } from '../helpers/origin.ts';
import { digestOf, putRegistryImage } from '../helpers/registry-image.ts';
import { ask, serve } from '../helpers/serving.ts';
import { sharedPool } from '../helpers/shared-pool.ts';
import { openTrust } from '../helpers/trust.ts';

const gpg = await openGpg();
const ann = await gpg.createKey({ userId: 'ann@example.com' });
test.after.always(() => gpg.close());

/** A store that has fetched signed images with their archives, and one that is trusted with the same keys. */
async function openKept(t: ExecutionContext) {
  const keystore = await openTrust(t, gpg, { 'example.com': ann });
  const origin = await startOrigin(t, { sign: (archive) => gpg.sign(ann, archive, { armor: true }) });
  const labels = { os: 'linux', arch: 'amd64' };
  const base = await origin.publish({ name: 'example.com/base', version: '1', labels });
  const dependencies = [{ imageName: 'example.com/base', labels: [{ name: 'version', value: '1' }] }];
  const app = await origin.publish({ name: 'example.com/app', version: '1.0', labels, dependencies });
  const plain = await origin.publish({ name: 'example.com/plain', version: '1', labels });
  const options = { keystore, insecure: { http: true }, discover: origin.discover } as const;
  const first = await openFetching(t, options);
  for (const [name, keepArchives] of [
    ['example.com/app:1.0,os=linux,arch=amd64', true],
    ['example.com/plain:1,os=linux,arch=amd64', false],
  ] as const) {
    const { status, error } = await first.fetch(name, { keepArchives });
    t.is(status, 'fetched', error?.message);
  }
  const second = (url: string) => openFetching(t, { keystore, discover: [{ prefix: 'example.com', origin: url }] });
  return { ...{ app, base, plain, keystore, origin, first, second }, store: first.store };
}

test('archives that were kept are found by discovery and fetched with their signatures, while their origin is off', async (t) => {
  const { app, base, origin, second, store } = await openKept(t);
  const { url } = await serve(t, store.dir);
  await origin.close();
  const { fetch, listed } = await second(url);
  const { status, error, imageID } = await fetch('example.com/app:1.0,os=linux,arch=amd64');
  t.is(status, 'fetched', error?.message);
  t.is(imageID, app.imageId);
  t.deepEqual((await listed()).toSorted(), [app.imageId, base.imageId].toSorted());
  t.is((await fetch('example.com/base,os=linux,arch=amd64')).imageID, base.imageId);
  t.regex((await fetch('example.com/plain:1,os=linux,arch=amd64')).error?.code ?? '', /DISCOVERY_FAILED/);
});

test('a page names the archives of one name, and the signature is that of the archive beside it', async (t) => {
  const { app, plain, store } = await openKept(t);
  const { ask: get, url } = await serve(t, store.dir, { hosts: ['example.com'] });
  const page = await get('/example.com/app?ac-discovery=1');
  t.is(page.headers['content-type'], 'text/html; charset=utf-8');
  t.true(page.text.includes(`content="example.com/app ${url}/aci/{os}/{arch}/{version}/{name}.{ext}"`), page.text);
  const own = await get('/app?ac-discovery=1', { headers: { host: 'example.com' } });
  t.true(own.text.includes('content="example.com/app http://example.com/aci/'), own.text);
  for (const path of [
    '/example.com/app',
    '/example.com?ac-discovery=1',
    '/example.com/plain?ac-discovery=1',
    '/..?ac-discovery=1',
  ])
    t.is((await get(path)).status, 404, path);

  const path = '/aci/linux/amd64/1.0/example.com/app.aci';
  const archive = await get(path);
  t.is(digestOf(archive.bytes), digestOf(app.bytes));
  const part = await get(path, { headers: { range: 'bytes=10-19', 'if-range': archive.headers.etag ?? '' } });
  t.deepEqual(part.bytes, archive.bytes.subarray(10, 20));
  t.true((await get('/aci/linux/amd64/latest/example.com/app.aci')).bytes.equals(archive.bytes));
  const signature = await get(`${path}.asc`);
  t.regex(signature.text, /^-----BEGIN PGP SIGNATURE-----/);
  t.is((await get(`${path}.asc`, { headers: { 'if-none-match': signature.headers.etag ?? '' } })).status, 304);
  const exact = `/aci/${app.imageId}/${digestOf(app.bytes)}.aci`;
  t.true((await get(exact)).bytes.equals(archive.bytes));
  t.is((await get(`${exact}.asc`)).text, signature.text);
  for (const other of [
    `${app.imageId}/${digestOf(app.tar.subarray(1))}`,
    `${app.imageId.slice(0, -1)}/${digestOf(app.bytes)}`,
    `${plain.imageId}/${digestOf(plain.bytes)}`,
  ])
    t.is((await get(`/aci/${other}.aci`)).status, 404, other);
  for (const other of ['linux/aarch64/1.0', 'linux/amd64/2', 'linux/amd64/..', '%2e%2e/amd64/1.0'])
    t.is((await get(`/aci/${other}/example.com/app.aci`)).status, 404, other);
  t.is((await get('/aci/linux/amd64/1/example.com/plain.aci')).status, 404);
  const [image] = await store.imagesNamed('example.com/app');
  await rm(store.digestPath(image?.archive?.digest ?? digestOf(Buffer.of())));
  t.is((await get(path)).status, 404);
});

test('with a rule, only what it accepts is served, as if there were nothing else', async (t) => {
  const { store, keystore, plain, first } = await openKept(t);
  const packed = join(first.directory, 'plain.aci');
  await writeFile(packed, gzipSync(plain.tar)); // its signers have signed other bytes
  t.is((await first.fetch(packed, { keepArchives: true, insecure: { image: true } })).status, 'fetched');
  const put = (reference: string, verified: readonly string[] | false) =>
    putRegistryImage(store, { reference, content: reference, verified, source: `docker://${reference}` });
  const [signed, unsigned] = [await put('example.com/signed:1', [ann]), await put('example.com/signed:2', false)];
  await put('example.com/other:1', false);
  await put('other.example/signed:1', false);
  const verifier = createVerifier({ keystore, pool: sharedPool, weakKeys: false, signatures: 64, nowMs: Date.now });
  const open = async () =>
    acceptedOnly(
      await openStore({ dir: store.dir, readOnly: true }),
      async (image, proofs) => (await judgeStored(verifier, image, proofs)).kind !== 'refused',
      () => nowMs,
    );
  let nowMs = 0;
  const view = await followStore(join(store.dir, 'index.sqlite'), open);
  t.teardown(() => view[Symbol.asyncDispose]());
  const { url } = await serve(t, store.dir, { store: view, catalog: true });
  const statusOf = async (path: string) => (await ask(url, path)).status;
  const layer = [...signed.blobs].find((digest) => unsigned.blobs.includes(digest));
  const own = unsigned.blobs.find((digest) => !signed.blobs.includes(digest));

  t.is(await statusOf('/v2/example.com/signed/manifests/1'), 200);
  t.is(await statusOf('/v2/example.com/signed/manifests/2'), 404);
  t.is(await statusOf(`/v2/example.com/signed/manifests/${unsigned.manifest.digest}`), 404);
  t.is(await statusOf(`/v2/example.com/signed/blobs/${layer}`), 200);
  t.is(await statusOf(`/v2/example.com/signed/blobs/${own}`), 404);
  t.like(JSON.parse((await ask(url, '/v2/example.com/signed/tags/list')).text), { tags: ['1'] });
  t.deepEqual(JSON.parse((await ask(url, '/v2/_catalog')).text), { repositories: ['example.com/signed'] });
  t.is(await statusOf('/v2/example.com/other/tags/list'), 404);
  t.is(await statusOf('/v2/signed/manifests/1'), 200); // not one of two registries
  t.is(await statusOf('/example.com/app?ac-discovery=1'), 200);
  t.is(await statusOf('/example.com/plain?ac-discovery=1'), 404);

  await keystore.remove({ fingerprint: ann, prefix: 'example.com', layer: 0 });
  nowMs += 60_000; // answers are remembered for a while
  t.is(await statusOf('/v2/example.com/signed/manifests/1'), 404);
  t.is(await statusOf('/example.com/app?ac-discovery=1'), 404);
});
