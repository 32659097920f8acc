import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { bundleDocument } from '../../src/bundle/bundle.ts';
import { exportImages, type ManyFormat } from '../../src/export/export-images.ts';
import { createApps } from '../../src/index.ts';
import { openKeystore } from '../../src/internal.ts';
import { putBuilt, serveReferrers } from '../helpers/attached.ts';
import { type Files, tarOf } from '../helpers/carried.ts';
import { createCosignKey, payloadOf, putBundle, putSignatures, trustCosignKey } from '../helpers/cosign.ts';
import { type Importing, openImporting, statusOf } from '../helpers/importing.ts';
import { openGpg } from '../helpers/keys.ts';
import { startOrigin } from '../helpers/origin.ts';
import { layerOf, openRegistryFetching } from '../helpers/registry-fetching.ts';
import { sharedPool } from '../helpers/shared-pool.ts';
import { createAuthorities, signer, trustIdentity } from '../helpers/sigstore.ts';
import { signMessage, statementOf } from '../helpers/simple-signing.ts';
import { temporaryDirectory } from '../helpers/stored.ts';
import { untar } from '../helpers/untar.ts';

const gpg = await openGpg();
const key = await gpg.createKey();
const cosign = createCosignKey();
const authorities = await createAuthorities();
test.after.always(() => gpg.close());

/** A store with an image for each way to sign, all of them verified; the network is not there any more. */
async function openSigned(t: ExecutionContext) {
  const directory = await temporaryDirectory(t);
  const fetching = await openRegistryFetching(t, { keep: 'oci' });
  const { registry, store } = fetching;
  const { host } = registry;
  await mkdir(join(directory, 'trustedkeys'));
  await writeFile(join(directory, 'trustedkeys/trusted_root.json'), authorities.rootFile);
  const keystore = await openKeystore({ dirs: [directory] });
  const certificate = await gpg.certificate(key);
  for (const prefix of [`${host}/pgp`, 'example.com'])
    await keystore.add({ certificate, fingerprint: key, layer: 0, prefix });
  await trustCosignKey(keystore, cosign, `${host}/key`);
  await trustIdentity(keystore, `${host}/identity`);

  const image = async (repository: string) =>
    registry.putImage(repository, '1', { layers: [await layerOf({ [repository]: 'x'.repeat(5000) })] });
  const { index } = putBuilt(registry, 'pgp/app', '1');
  const message = await signMessage(gpg, key, statementOf({ digest: index.digest, reference: `${host}/pgp/app:1` }));
  const path = join(directory, 'signatures', `pgp/app@${index.digest.replace(':', '=')}`, 'signature-1');
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, message);
  const keyed = await image('key/app');
  const payload = payloadOf({ digest: keyed.digest, reference: `${host}/key/app` });
  putSignatures(registry, 'key/app', keyed, [{ payload, signature: cosign.sign(payload) }]);
  const identified = await image('identity/app');
  const bundle = Buffer.from(JSON.stringify(await authorities.bundle({ digest: identified.digest })));
  serveReferrers(registry, 'identity/app', {
    to: identified,
    manifests: [putBundle(registry, 'identity/app', identified, bundle)],
  });
  const origin = await startOrigin(t, { sign: (bytes) => gpg.sign(key, bytes) });
  const { url, imageId } = await origin.publish({ name: 'example.com/aci', version: '1', compress: 'gzip' });

  const places = {
    scopes: new Map(),
    others: { kind: 'file', path: join(directory, 'signatures') },
    fallback: undefined,
  } as const;
  const finder = fetching.finder({ keystore, lookasides: places, keepArchives: true, platform: ['linux/amd64'] });
  const references = ['pgp/app', 'key/app', 'identity/app'].map((name) => `docker://${host}/${name}:1`);
  const { outcomes } = await finder.findImages(createApps([...references, url]));
  t.deepEqual(
    statusOf(outcomes),
    [...references, url].map((text) => `${text} fetched`),
  );
  for (const route of Object.keys(registry.routes)) registry.routes[route] = { status: 503 };

  const write = async (format: ManyFormat): Promise<Buffer> => {
    const target = join(directory, format);
    const selection = {
      images: await Array.fromAsync(store.registryImages()),
      archives: format === 'bundle' ? await Array.fromAsync(store.images()) : [],
    };
    const request = { selection, format, target: { kind: 'file', target, overwrite: false } } as const;
    await exportImages({ store, pool: sharedPool }, request, new AbortController().signal);
    return readFile(target);
  };
  return { store, keystore, write, imageId, host, references };
}

async function contentOf({ store }: Pick<Importing, 'store'>) {
  const images = await Array.fromAsync(store.registryImages());
  const archives = await Array.fromAsync(store.images());
  return {
    images: images
      .map(({ reference, manifest, index, platform, blobs, verified, source }) => ({
        ...{ reference, manifest, index, platform, verified, source, blobs: blobs.toSorted() },
      }))
      .toSorted((a, b) => (a.reference < b.reference ? -1 : 1)),
    archives: archives.map(({ importedAtMs: _, lastUsedAtMs: __, ...facts }) => facts),
  };
}

test('signed images of every kind are the same on the far side of a bundle, and are judged again there without a network', async (t) => {
  const { store, keystore, write, host, references } = await openSigned(t);
  const near = await contentOf({ store });
  const far = await openImporting(t, { keystore, insecure: {}, keepArchives: true });
  const bundle = await write('bundle');
  const outcomes = await far.take(bundle);
  t.deepEqual(
    [...statusOf(outcomes)].sort(),
    [...references, 'example.com/aci,version=1'].map((text) => `${text} fetched`).sort(),
  );
  t.deepEqual(await contentOf(far), near);
  t.deepEqual(
    near.images.map(({ verified }) => verified),
    [[signer], [cosign.fingerprint], [key]],
  );
  for (const name of ['pgp', 'key', 'identity'])
    t.is((await far.store.proofsOf(`${host}/${name}/app:1`)).length, 1, name);
  const [proof] = await far.store.proofsOf(near.archives[0]?.imageId ?? '');
  t.like(proof, { kind: 'openpgp', signedBy: [key] });
});

test('a bundle of which anything was altered is refused for the images that need it, which are named', async (t) => {
  const { keystore, write } = await openSigned(t);
  const files: Files = Object.fromEntries(await untar(await write('bundle')));
  const paths = Object.keys(files).filter((path) => /blobs|proofs/.test(path));
  t.true(paths.length > 10);
  for (const path of paths) {
    const { take, store } = await openImporting(t, { keystore, insecure: {} });
    const bytes = Buffer.from(files[path] ?? '');
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    const outcomes = await take(await tarOf({ ...files, [path]: bytes }));
    const failed = outcomes.filter(({ status }) => status === 'failed');
    t.true(failed.length > 0, path);
    for (const { error } of failed) t.is(error?.code, 'DIGEST_MISMATCH', path);
    const listed =
      (await Array.fromAsync(store.registryImages())).length + (await Array.fromAsync(store.images())).length;
    t.is(listed, outcomes.length - failed.length, path);
  }
  const rest: Files = Object.fromEntries(Object.entries(files).filter(([path]) => path !== bundleDocument));
  const { take } = await openImporting(t, { keystore, insecure: {} });
  for (const { error } of await take(await tarOf(rest))) t.is(error?.code, 'SIGNATURE_MISSING');
});

test('an archive of docker that was exported is read back, with configurations as they were', async (t) => {
  const { write, store } = await openSigned(t);
  const { take, blobs } = await openImporting(t);
  const outcomes = await take(await write('docker-archive'));
  t.deepEqual(new Set(outcomes.map(({ status }) => status)), new Set(['fetched']));
  const there = await blobs();
  for (const { manifest } of await Array.fromAsync(store.registryImages())) {
    const { config } = JSON.parse(await readFile(store.digestPath(manifest.digest), 'utf8')) as {
      config: { digest: string };
    };
    t.true(there.includes(config.digest));
  }
});
