import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { createApps } from '../../../src/index.ts';
import { createVerifier, judgeStored, openKeystore, openPool, type Outcome } from '../../../src/internal.ts';
import { serveReferrers } from '../../helpers/attached.ts';
import { payloadOf, putBundle, tagOf } from '../../helpers/cosign.ts';
import { codesOf } from '../../helpers/fetching.ts';
import { types } from '../../helpers/registry.ts';
import { layerOf, openRegistryFetching } from '../../helpers/registry-fetching.ts';
import { createAuthorities, provider, signer, trustIdentity, workflow } from '../../helpers/sigstore.ts';
import { temporaryDirectory } from '../../helpers/stored.ts';

const authorities = await createAuthorities();

/** A registry with `team/app:1`, and a finder that trusts a workflow for `team`. */
async function open(t: ExecutionContext) {
  const fetching = await openRegistryFetching(t, { keep: 'oci' });
  const { registry } = fetching;
  const directory = await temporaryDirectory(t);
  const rootPath = join(directory, 'trustedkeys', 'trusted_root.json');
  await mkdir(join(directory, 'trustedkeys'));
  await writeFile(rootPath, authorities.rootFile);
  const keystore = await openKeystore({ dirs: [directory] });
  const fingerprint = await trustIdentity(keystore, `${registry.host}/team`);
  const image = registry.putImage('team/app', '1', { layers: [await layerOf({ a: '1' })] });
  const reference = `${registry.host}/team/app`;
  const putBundles = (bundles: readonly object[]) =>
    serveReferrers(registry, 'team/app', {
      to: image,
      manifests: bundles.map((one) => putBundle(registry, 'team/app', image, Buffer.from(JSON.stringify(one)))),
    });
  const checked = fetching.finder({ keystore });
  const fetch = async (): Promise<Outcome | undefined> =>
    (await checked.findImages(createApps([`docker://${reference}:1`]))).outcomes[0];
  return { ...fetching, directory, rootPath, keystore, fingerprint, image, reference, putBundles, fetch };
}

async function refused(t: ExecutionContext, opened: Awaited<ReturnType<typeof open>>, code: string, pattern: RegExp) {
  const outcome = await opened.fetch();
  t.deepEqual([outcome?.status, outcome && codesOf(outcome)[0]], ['failed', code], outcome?.error?.message);
  t.regex(outcome?.error?.message ?? '', pattern);
  t.deepEqual([await opened.kept(), await opened.listed(), await opened.blobs()], [[], [], []]);
}

test('an image that a trusted workflow has signed is fetched, its signer is named, and its proof is judged again without a network', async (t) => {
  const { putBundles, fetch, image, reference, store, keystore, fingerprint, registry, directory, rootPath } =
    await open(t);
  putBundles([await authorities.bundle({ digest: image.digest })]);
  t.like(await fetch(), { status: 'fetched', signedBy: [signer] });
  const proofs = await store.proofsOf(`${reference}:1`);
  t.like(proofs[0], { kind: 'sigstore-bundle', covers: image.digest, signedBy: [signer], log: 'verified' });

  const { length } = registry.requests;
  t.like(await fetch(), { status: 'present', signedBy: [signer] });
  const name = `${registry.host}/team/app`;
  const stored = { name, source: `docker://${reference}:1`, verified: [signer], weak: false, digests: [image.digest] };
  await using pool = openPool({ workers: 1, sessionsPerWorker: 1 });
  const judge = async () => {
    await using fresh = await openKeystore({ dirs: [directory] });
    const more = { weakKeys: false, signatures: 64, nowMs: Date.now };
    return await judgeStored(createVerifier({ keystore: fresh, pool, ...more }), stored, proofs);
  };
  t.deepEqual(await judge(), { kind: 'good', signedBy: [signer] });
  await rm(rootPath);
  t.like(await judge(), { kind: 'refused', error: { code: 'KEY_UNKNOWN' } });
  await writeFile(rootPath, authorities.rootFile);
  await keystore.remove({ fingerprint, prefix: `${registry.host}/team`, layer: 0 });
  t.like(await judge(), { kind: 'refused', error: { code: 'KEY_UNKNOWN' } });
  t.is(registry.requests.length, length);
});

test('an identity that is trusted no longer does not count for what is stored, and one that another rule allows does', async (t) => {
  const { putBundles, fetch, image, keystore, fingerprint, registry } = await open(t);
  putBundles([await authorities.bundle({ digest: image.digest })]);
  t.like(await fetch(), { status: 'fetched' });
  const prefix = `${registry.host}/team`;
  await trustIdentity(keystore, prefix, {
    subject: { pattern: 'https://ci[.]example[.]com/acme/.*' },
    issuer: { text: provider },
  });
  await keystore.remove({ fingerprint, prefix, layer: 0 });
  t.true(await keystore.trusts(`${prefix}/app`, [signer]));
  t.like(await fetch(), { status: 'present' });
  t.false(await keystore.trusts(`${registry.host}/other`, [signer]));
  t.false(await keystore.trusts(`${prefix}/app`, [`${workflow} via https://elsewhere.example.com`]));
});

test('an identity that is trusted for another prefix does not count', async (t) => {
  const opened = await open(t);
  const { putBundles, image, keystore, fingerprint, registry } = opened;
  putBundles([await authorities.bundle({ digest: image.digest })]);
  await keystore.remove({ fingerprint, prefix: `${registry.host}/team`, layer: 0 });
  for (const prefix of [`${registry.host}/tea`, `${registry.host}/team/app/more`, 'example.com/team'])
    await trustIdentity(keystore, prefix);
  await refused(t, opened, 'INSECURE_REFUSED', /registries\.d has no place/);
  await trustIdentity(keystore, `${registry.host}/team`, {
    subject: { text: `${workflow}2` },
    issuer: { text: provider },
  });
  await refused(t, opened, 'KEY_UNKNOWN', /who is not trusted for/);
});

test('what cosign has put under the tag of the digest is found and judged too', async (t) => {
  const { fetch, image, reference, registry, store } = await open(t);
  const payload = payloadOf({ digest: image.digest, reference });
  const blob = registry.putBlob('team/app', payload, 'application/vnd.dev.cosign.simplesigning.v1+json');
  const layers = [{ ...blob, annotations: await authorities.annotations(payload) }];
  const config = registry.putBlob('team/app', '{}', types.config);
  registry.putManifest('team/app', tagOf(image), { schemaVersion: 2, mediaType: types.manifest, config, layers });
  t.like(await fetch(), { status: 'fetched', signedBy: [signer] });
  const [proof] = await store.proofsOf(`${reference}:1`);
  t.like(proof, { kind: 'cosign-certificate', covers: image.digest, signedBy: [signer], log: 'verified' });
  t.true(proof?.kind === 'cosign-certificate' && proof.certificate.startsWith('-----BEGIN CERTIFICATE'));
});

test('bundles that prove nothing are passed over, and without a good one nothing is stored', async (t) => {
  const opened = await open(t);
  const { putBundles, image } = opened;
  const { digest } = image;
  const bad = [
    await authorities.bundle({ digest, proof: 'none' }),
    await authorities.bundle({ digest, issuer: `${provider}.evil.example` }),
    { mediaType: 'application/vnd.dev.sigstore.bundle.v0.9+json' },
  ];
  putBundles(bad);
  await refused(t, opened, 'SIGNATURE_INVALID', /expected 1 timestamps/);
  putBundles([...bad, await authorities.bundle({ digest })]);
  t.like(await opened.fetch(), { status: 'fetched', signedBy: [signer] });
});

test('a trusted root that cannot be read is a fault of the configuration', async (t) => {
  const opened = await open(t);
  opened.putBundles([await authorities.bundle({ digest: opened.image.digest })]);
  await writeFile(opened.rootPath, '{"mediaType":"application/json"}');
  await refused(t, opened, 'CONFIG_INVALID', /trusted_root[.]json/);
});

test('the trusted root of the last directory that has one counts, and an empty file stands for none', async (t) => {
  const dirs = await Promise.all([1, 2, 3].map(() => temporaryDirectory(t)));
  const put = async (at: number, text: string) => {
    await mkdir(join(dirs[at] ?? '', 'trustedkeys'), { recursive: true });
    await writeFile(join(dirs[at] ?? '', 'trustedkeys', 'trusted_root.json'), text);
  };
  const read = async (trustedRoot?: string) => {
    await using keystore = await openKeystore({ dirs, trustedRoot });
    return Buffer.from((await keystore.trustedRoot())?.bytes ?? []).toString();
  };
  t.is(await read(), '');
  await put(0, 'system');
  t.is(await read(), 'system');
  await put(1, 'local');
  t.is(await read(), 'local');
  await put(2, '');
  t.is(await read(), '');
  t.is(await read(join(dirs[0] ?? '', 'trustedkeys', 'trusted_root.json')), 'system');
  await t.throwsAsync(read(join(dirs[0] ?? '', 'missing.json')), { code: 'FILE_NOT_FOUND' });
  const empty = join(dirs[2] ?? '', 'trustedkeys', 'trusted_root.json');
  await t.throwsAsync(read(empty), { code: 'CONFIG_INVALID', message: /it is empty/ });
  await put(2, ' '.repeat(1024 * 1024 + 1));
  await t.throwsAsync(read(), { code: 'CONFIG_INVALID' });
});
