import { createHash } from 'node:crypto';

import test, { type ExecutionContext } from 'ava';

import { createApps } from '../../../src/index.ts';
import { createVerifier, judgeStored, openKeystore, openPool, type Outcome } from '../../../src/internal.ts';
import { serveReferrers } from '../../helpers/attached.ts';
import { createCosignKey, messageBundleOf, putBundle, trustCosignKey } from '../../helpers/cosign.ts';
import { types } from '../../helpers/registry.ts';
import { layerOf, openRegistryFetching } from '../../helpers/registry-fetching.ts';
import { temporaryDirectory } from '../../helpers/stored.ts';

const [alice, bob] = [createCosignKey(), createCosignKey('ed25519')];

/** A registry with `team/app:1`, and a finder that trusts Alice's key for `team`. */
async function open(t: ExecutionContext) {
  const fetching = await openRegistryFetching(t, { keep: 'oci' });
  const { registry } = fetching;
  const keystore = await openKeystore({ dirs: [await temporaryDirectory(t)] });
  await trustCosignKey(keystore, alice, `${registry.host}/team`);
  const image = registry.putImage('team/app', '1', { layers: [await layerOf({ a: '1' })] });
  const reference = `${registry.host}/team/app`;
  const putBundles = (bundles: readonly Uint8Array[]) =>
    serveReferrers(registry, 'team/app', {
      to: image,
      manifests: bundles.map((bundle) => putBundle(registry, 'team/app', image, bundle, {})),
    });
  const checked = fetching.finder({ keystore });
  const fetch = async (): Promise<Outcome | undefined> =>
    (await checked.findImages(createApps([`docker://${reference}:1`]))).outcomes[0];
  return { ...fetching, keystore, image, reference, putBundles, fetch };
}

test('a bundle that signs the manifest or the index itself counts like a statement, and is judged again with what it signs', async (t) => {
  for (const which of ['manifest', 'index'] as const) {
    const { fetch, image, reference, registry, store, keystore } = await open(t);
    const index = {
      schemaVersion: 2,
      mediaType: types.index,
      manifests: [{ ...image, manifest: undefined, platform: { os: 'linux', architecture: 'amd64' } }],
    };
    const to = which === 'index' ? registry.putManifest('team/app', '1', index, types.index) : image;
    const document = Buffer.from(JSON.stringify(which === 'index' ? index : image.manifest));
    const annotations = { 'dev.sigstore.bundle.content': 'message-signature' };
    const bundle = putBundle(registry, 'team/app', to, messageBundleOf(alice, document), annotations);
    serveReferrers(registry, 'team/app', { to, manifests: [bundle] });
    t.like(await fetch(), { status: 'fetched', signedBy: [alice.fingerprint] });
    const proofs = await store.proofsOf(`${reference}:1`);
    t.like(proofs[0], { kind: 'sigstore-bundle', covers: to.digest, document });

    const source = `docker://${reference}:1`;
    const stored = { name: reference, source, verified: [alice.fingerprint], weak: false, digests: [to.digest] };
    await using pool = openPool({ workers: 1, sessionsPerWorker: 1 });
    const verifier = createVerifier({ keystore, pool, weakKeys: false, signatures: 64, nowMs: Date.now });
    t.like(await judgeStored(verifier, stored, proofs), { kind: 'good' });
    const changed = proofs.map((proof) => ({ ...proof, document: Buffer.from('{}') }) as typeof proof);
    t.like(await judgeStored(verifier, stored, changed), { kind: 'refused', error: { code: 'SIGNATURE_INVALID' } });
  }
});

const messages: readonly (readonly [string, (manifest: Buffer) => Uint8Array, string, RegExp])[] = [
  ['over something else', () => messageBundleOf(alice, Buffer.from('{}')), 'SIGNATURE_INVALID', /than the manifest/],
  ['by another key', (manifest) => messageBundleOf(bob, manifest), 'KEY_UNKNOWN', /not by a public key/],
  [
    'that says it is over the manifest',
    (manifest) => {
      const other = JSON.parse(messageBundleOf(alice, Buffer.from('{}')).toString()) as { messageSignature: object };
      const digest = createHash('sha256').update(manifest).digest('base64');
      const messageSignature = { ...other.messageSignature, messageDigest: { algorithm: 'SHA2_256', digest } };
      return messageBundleOf(alice, manifest, { messageSignature });
    },
    'SIGNATURE_INVALID',
    /bad signature by/,
  ],
  [
    'of another hash',
    (manifest) =>
      messageBundleOf(alice, manifest, {
        messageSignature: { messageDigest: { algorithm: 'SHA2_512', digest: '' }, signature: '' },
      }),
    'SIGNATURE_UNREADABLE',
    /algorithm/,
  ],
  [
    'and a statement',
    (manifest) =>
      messageBundleOf(alice, manifest, { dsseEnvelope: { payload: '', payloadType: '', signatures: [{ sig: '' }] } }),
    'SIGNATURE_UNREADABLE',
    /signs no statement/,
  ],
];
for (const [what, make, code, pattern] of messages) {
  test(`a signature of the manifest itself ${what} is refused`, async (t) => {
    const opened = await open(t);
    opened.putBundles([make(Buffer.from(JSON.stringify(opened.image.manifest)))]);
    const outcome = await opened.fetch();
    t.like(outcome, { status: 'failed', error: { code } }, outcome?.error?.message);
    t.regex(outcome?.error?.message ?? '', pattern);
    t.deepEqual([await opened.kept(), await opened.listed(), await opened.blobs()], [[], [], []]);
  });
}
