import test, { type ExecutionContext } from 'ava';

import { createApps } from '../../../src/index.ts';
import { type ActionOptions, openKeystore, type Outcome } from '../../../src/internal.ts';
import { serveReferrers } from '../../helpers/attached.ts';
import {
  bundleOf,
  createCosignKey,
  type Payload,
  payloadOf,
  putBundle,
  putSignatures,
  tagOf,
  trustCosignKey,
} from '../../helpers/cosign.ts';
import { codesOf } from '../../helpers/fetching.ts';
import { types } from '../../helpers/registry.ts';
import { layerOf, openRegistryFetching } from '../../helpers/registry-fetching.ts';
import { temporaryDirectory } from '../../helpers/stored.ts';

const [alice, bob] = [createCosignKey(), createCosignKey('ed25519')];

/** A registry with `team/app:1`, and a finder that trusts Alice's key for `team`. */
async function open(t: ExecutionContext, base: Partial<ActionOptions> = {}) {
  const fetching = await openRegistryFetching(t, { keep: 'oci', ...base });
  const { registry } = fetching;
  const keystore = await openKeystore({ dirs: [await temporaryDirectory(t)] });
  await trustCosignKey(keystore, alice, `${registry.host}/team`);
  const image = registry.putImage('team/app', '1', { layers: [await layerOf({ a: '1' })] });
  const reference = `${registry.host}/team/app`;
  const signed = (about: Partial<Payload> = {}, by = alice) => {
    const payload = payloadOf({ digest: image.digest, reference, ...about });
    return { payload, signature: by.sign(payload) };
  };
  const putTag = (all = [signed()]) => putSignatures(registry, 'team/app', image, all);
  const putBundles = (bundles: readonly Uint8Array[]) =>
    serveReferrers(registry, 'team/app', {
      to: image,
      manifests: bundles.map((bundle) => putBundle(registry, 'team/app', image, bundle)),
    });
  const checked = fetching.finder({ keystore });
  const fetch = async (what = `${reference}:1`): Promise<Outcome | undefined> =>
    (await checked.findImages(createApps([`docker://${what}`]))).outcomes[0];
  return { ...fetching, keystore, image, reference, signed, putTag, putBundles, fetch, checked };
}

type Opened = Awaited<ReturnType<typeof open>>;

/** Refused with one line, and nothing is kept: no layer was asked for. */
async function refused(t: ExecutionContext, opened: Opened, code: string, pattern: RegExp) {
  const outcome = await opened.fetch();
  t.deepEqual([outcome?.status, outcome && codesOf(outcome)[0]], ['failed', code], outcome?.error?.message);
  t.regex(outcome?.error?.message ?? '', pattern);
  t.notRegex(outcome?.error?.message ?? '', /\n/);
  const { layers } = opened.image.manifest;
  t.is(opened.asked(`GET /v2/team/app/blobs/${layers[0]?.digest}`), 0);
  t.deepEqual([await opened.kept(), await opened.listed(), await opened.blobs()], [[], [], []]);
}

test('an image that is signed under the tag of cosign costs one more request, and its signer and proof are kept', async (t) => {
  const { putTag, fetch, image, reference, store, registry } = await open(t);
  putTag();
  const outcome = await fetch();
  t.like(outcome, { status: 'fetched', digest: image.digest, signedBy: [alice.fingerprint] }, outcome?.error?.message);
  const about = registry.requests.filter(({ url }) => !url.includes(image.digest) || url.endsWith('.sig'));
  t.is(about.filter(({ url }) => url.endsWith('.sig')).length, 1);
  t.is(registry.requests.length, 5); // /v2/, the manifest, its signatures, the configuration, a layer
  const [proof] = await store.proofsOf(`${reference}:1`);
  t.like(proof, { kind: 'cosign-key', covers: image.digest, signedBy: [alice.fingerprint] });

  const { length } = registry.requests;
  t.like(await fetch(), { status: 'present', signedBy: [alice.fingerprint] });
  t.is(registry.requests.length, length);
});

test('an image is fetched with a bundle that is attached to it, and that place is asked first for the next one', async (t) => {
  const { putBundles, fetch, image, reference, store, registry, asked } = await open(t);
  putBundles([bundleOf(alice, { digest: image.digest })]);
  const outcome = await fetch();
  t.like(outcome, { status: 'fetched', signedBy: [alice.fingerprint] }, outcome?.error?.message);
  t.like((await store.proofsOf(`${reference}:1`))[0], { kind: 'sigstore-bundle', covers: image.digest });
  t.is(asked(`GET /v2/team/app/manifests/${tagOf(image)}`), 1);

  const other = registry.putImage('team/other', '1', { layers: [await layerOf({ b: '1' })] });
  const bundle = putBundle(registry, 'team/other', other, bundleOf(alice, { digest: other.digest }));
  serveReferrers(registry, 'team/other', { to: other, manifests: [bundle] });
  t.like(await fetch(`${registry.host}/team/other:1`), { status: 'fetched' });
  t.is(asked(`GET /v2/team/other/manifests/${tagOf(other)}`), 0);
});

test('a payload that is not what cosign makes of itself is asked for', async (t) => {
  const { putTag, fetch, reference, signed, asked } = await open(t);
  const layers = putTag([signed({ reference: `${reference}:1` })]);
  t.like(await fetch(), { status: 'fetched' }, layers.digest);
  t.is(asked('GET /v2/team/app/blobs/'), 3); // the payload, the configuration, a layer
});

test('where a registry has no lists of what is attached, the list under the tag of the digest counts', async (t) => {
  const { fetch, image, registry, asked } = await open(t);
  const bundle = putBundle(registry, 'team/app', image, bundleOf(alice, { digest: image.digest }));
  const list = { schemaVersion: 2, mediaType: types.index, manifests: [bundle] };
  registry.putManifest('team/app', image.digest.replace(':', '-'), list, types.index);
  const outcome = await fetch();
  t.like(outcome, { status: 'fetched', signedBy: [alice.fingerprint] }, outcome?.error?.message);

  const other = registry.putImage('team/other', '1', { layers: [await layerOf({ b: '1' })] });
  const mine = putBundle(registry, 'team/other', other, bundleOf(alice, { digest: other.digest }));
  const tag = other.digest.replace(':', '-');
  registry.putManifest('team/other', tag, { ...list, manifests: [mine] }, types.index);
  t.like(await fetch(`${registry.host}/team/other:1`), { status: 'fetched' });
  t.is(asked(`GET /v2/team/other/referrers/`), 0); // that tag is asked for first from now on

  const third = registry.putImage('team/third', '1', { layers: [await layerOf({ c: '1' })] });
  const listed = putBundle(registry, 'team/third', third, bundleOf(alice, { digest: third.digest }));
  serveReferrers(registry, 'team/third', { to: third, manifests: [listed] });
  t.like(await fetch(`${registry.host}/team/third:1`), { status: 'fetched' }, 'a host may have lists for some');
});

test('the index of an image may be signed, or its manifest', async (t) => {
  for (const which of ['index', 'manifest'] as const) {
    const { fetch, image, reference, registry, signed } = await open(t);
    const manifests = [{ ...image, manifest: undefined, platform: { os: 'linux', architecture: 'amd64' } }];
    const list = { schemaVersion: 2, mediaType: types.index, manifests };
    const index = registry.putManifest('team/app', '1', list, types.index);
    const to = which === 'index' ? index : image;
    putSignatures(registry, 'team/app', to, [signed({ digest: to.digest })]);
    const outcome = await fetch(`${reference}:1`);
    t.like(outcome, { status: 'fetched', signedBy: [alice.fingerprint] }, outcome?.error?.message);
  }
});

test('without a public key that is trusted for its repository nothing more is asked for', async (t) => {
  const { fetch, registry, image, reference, putTag } = await open(t);
  putTag();
  registry.putImage('other/app', '1');
  const outcome = await fetch(`${registry.host}/other/app:1`);
  t.is(outcome?.error?.code, 'INSECURE_REFUSED');
  t.is(registry.requests.length, 0);
  t.like(await fetch(`${reference}:1`), { status: 'fetched', digest: image.digest });
});

test('signatures by others are passed over, and one of many is enough', async (t) => {
  const { fetch, signed, putTag } = await open(t);
  const strangers = Array.from({ length: 20 }, () => signed({}, bob));
  putTag([...strangers, signed({ reference: 'example.com/elsewhere' }), signed()]);
  const outcome = await fetch();
  t.like(outcome, { status: 'fetched', signedBy: [alice.fingerprint] }, outcome?.error?.message);
});

test('of 300 signatures, a good one among the first 64 counts; one behind them is over the limit', async (t) => {
  const strangers = (opened: Opened, count: number) => Array.from({ length: count }, () => opened.signed({}, bob));
  const near = await open(t);
  near.putTag([...strangers(near, 63), near.signed(), ...strangers(near, 236)]);
  t.like(await near.fetch(), { status: 'fetched', signedBy: [alice.fingerprint] });
  const far = await open(t);
  far.putTag([...strangers(far, 64), far.signed(), ...strangers(far, 235)]);
  await refused(t, far, 'LIMIT_EXCEEDED', /^more than 64 signatures of one image/);
  const attached = await open(t);
  attached.putBundles(
    Array.from({ length: 65 }, (_, n) =>
      bundleOf(bob, { digest: attached.image.digest, name: `${attached.reference}:${n}` }),
    ),
  );
  await refused(t, attached, 'LIMIT_EXCEEDED', /^more than 64 signatures of one image/);
});

const others: Record<string, readonly [Partial<Payload>, RegExp]> = {
  digest: [{ digest: `sha256:${'0'.repeat(64)}` }, /is for sha256:0{64}, and not for sha256:/],
  repository: [{ reference: 'example.com/team/app' }, /is for example\.com\/team\/app, and not for 127/],
  type: [{ critical: { type: 'atomic container signature' } }, /critical\.type/],
  'unknown type': [{ critical: { type: 'something new' } }, /critical\.type/],
  'further critical member': [{ critical: { more: 1 } }, /no statement on an image/],
};

for (const [what, [about, pattern]] of Object.entries(others)) {
  test(`a signature with another ${what} is refused`, async (t) => {
    const opened = await open(t);
    opened.putTag([opened.signed(about)]);
    await refused(t, opened, 'SIGNATURE_INVALID', pattern);
  });
}

test('a signature for another tag is refused, and one for the same tag or for the digest counts', async (t) => {
  const opened = await open(t);
  const { reference, image } = opened;
  opened.putTag([opened.signed({ reference: `${reference}:2` })]);
  await refused(t, opened, 'SIGNATURE_INVALID', /is for 127\.0\.0\.1:\d+\/team\/app:2, and not for 127/);
  for (const claimed of [`${reference}:1`, `${reference}@${image.digest}`]) {
    const good = await open(t);
    good.putTag([good.signed({ reference: claimed.replace(reference, good.reference) })]);
    t.like(await good.fetch(), { status: 'fetched' }, claimed);
  }
});

test('a manifest or a list of signatures that cannot be used is refused, and the place is named', async (t) => {
  const opened = await open(t);
  const { digest } = opened.putTag();
  const { body } = opened.registry.routes[`/v2/team/app/manifests/${digest}`] as { readonly body: string };
  const twice = body.replace('"annotations":{', '"annotations":{"dev.cosignproject.cosign/signature":"AAAA",');
  opened.registry.putManifest('team/app', tagOf(opened.image), twice);
  await refused(t, opened, 'MANIFEST_INVALID', /is there twice \(docker:\/\/127.*:sha256-[0-9a-f]{64}\.sig\)$/);
  const listed = await open(t);
  const path = `/v2/team/app/referrers/${listed.image.digest}`;
  listed.registry.routes[path] = { body: '{"schemaVersion":2', headers: { 'content-type': types.index } };
  await refused(t, listed, 'MANIFEST_INVALID', /is not JSON: .* \(the list http:\/\/127.*\/referrers\/sha256:/);
});

test('a payload with a key twice is refused', async (t) => {
  const opened = await open(t);
  const text = opened.signed().payload.toString();
  const payload = Buffer.from(text.replace('{"critical":', '{"critical":null,"critical":'));
  opened.putTag([{ payload, signature: alice.sign(payload) }]);
  await refused(t, opened, 'SIGNATURE_INVALID', /key .*twice|twice/);
});

test('a key that is trusted for another prefix verifies nothing', async (t) => {
  const opened = await open(t);
  await trustCosignKey(opened.keystore, bob, `${opened.registry.host}/tea`);
  opened.putTag([opened.signed({}, bob)]);
  await refused(t, opened, 'KEY_UNKNOWN', /not by a public key that is trusted for 127\.0\.0\.1:\d+\/team\/app /);
});

test('an image without any signature is refused', async (t) => {
  const opened = await open(t);
  await refused(
    t,
    opened,
    'SIGNATURE_MISSING',
    /^there is no signature of the image, neither attached to it nor at docker:\/\//,
  );
});

test('a tag of signatures that stands for an index, or for a payload of 100 MB, is refused', async (t) => {
  const index = await open(t);
  const list = { schemaVersion: 2, mediaType: types.index, manifests: [] };
  index.registry.putManifest('team/app', tagOf(index.image), list, types.index);
  await refused(t, index, 'MANIFEST_INVALID', /stands for an index/);
  const large = await open(t);
  const layer = {
    mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json',
    digest: `sha256:${'1'.repeat(64)}`,
    size: 100_000_000,
    annotations: { 'dev.cosignproject.cosign/signature': 'AAAA' },
  };
  const { config } = large.image.manifest;
  const manifest = { schemaVersion: 2, mediaType: types.manifest, config, layers: [layer] };
  large.registry.putManifest('team/app', tagOf(large.image), manifest);
  await refused(t, large, 'LIMIT_EXCEEDED', /100000000 bytes, more than 65536/);
  t.is(large.asked(`GET /v2/team/app/blobs/${layer.digest}`), 0);
});

test('what claims another subject is no signature, and is warned of', async (t) => {
  const warnings: string[] = [];
  const onEvent: ActionOptions['onEvent'] = (event) => {
    if (event.type === 'warning') warnings.push(event.message);
  };
  const opened = await open(t, { onEvent });
  const { registry, image } = opened;
  const other = registry.putImage('team/app', '2', { layers: ['other'] });
  const bundle = putBundle(registry, 'team/app', other, bundleOf(alice, { digest: image.digest }));
  serveReferrers(registry, 'team/app', { to: image, manifests: [bundle] });
  await refused(t, opened, 'SIGNATURE_MISSING', /no signature/);
  t.true(warnings.some((message) => message.includes('lists') && message.includes('but it is not')));
});

test('a statement of another kind, an unknown version and a bad signature in a bundle are refused', async (t) => {
  const bundles: Record<string, readonly [(digest: string) => Buffer, string, RegExp]> = {
    provenance: [
      (digest) => bundleOf(alice, { digest, predicateType: 'https://slsa.dev/provenance/v1' }),
      'SIGNATURE_INVALID',
      /a statement of another kind, https:\/\/slsa\.dev/,
    ],
    version: [
      (digest) => bundleOf(alice, { digest }, { mediaType: 'application/vnd.dev.sigstore.bundle.v9+json' }),
      'SIGNATURE_UNREADABLE',
      /a bundle of an unknown version/,
    ],
    'another subject': [
      () => bundleOf(alice, { digest: `sha256:${'2'.repeat(64)}` }),
      'SIGNATURE_INVALID',
      /is for sha256:2{64}/,
    ],
    'another name': [
      (digest) => bundleOf(alice, { digest, name: 'example.com/app' }),
      'SIGNATURE_INVALID',
      /is for example\.com/,
    ],
    'a changed signature': [
      (digest) => bundleOf({ ...alice, sign: (bytes) => bob.sign(bytes) }, { digest }),
      'SIGNATURE_INVALID',
      /^bad signature by [0-9a-f]{64}/,
    ],
    'a certificate': [
      (digest) => bundleOf(alice, { digest }, { verificationMaterial: { certificate: { rawBytes: 'AAAA' } } }),
      'KEY_UNKNOWN',
      /signed with a certificate/,
    ],
    'no JSON': [() => Buffer.from('{"mediaType":1,"mediaType":2}'), 'SIGNATURE_UNREADABLE', /twice/],
  };
  for (const [what, [bundle, code, pattern]] of Object.entries(bundles)) {
    const opened = await open(t);
    opened.putBundles([bundle(opened.image.digest)]);
    await t.notThrowsAsync(refused(t, opened, code, pattern), what);
  }
});

for (const what of ['digest', 'index'] as const) {
  test(`signatures of an image that is known by its ${what} are asked for while its manifest is on its way`, async (t) => {
    const { fetch, image, reference, registry, signed } = await open(t);
    const { routes } = registry;
    const manifests = [{ ...image, manifest: undefined, platform: { os: 'linux', architecture: 'amd64' } }];
    const list = { schemaVersion: 2, mediaType: types.index, manifests };
    const of = what === 'digest' ? image : registry.putManifest('team/app', '2', list, types.index);
    putSignatures(registry, 'team/app', of, [signed({ digest: of.digest })]);
    const [manifestPath, signaturePath] = [image.digest, tagOf(of)].map((name) => `/v2/team/app/manifests/${name}`);
    const [manifest, signature] = [routes[manifestPath ?? ''], routes[signaturePath ?? '']];
    const asked = Promise.withResolvers<undefined>();
    routes[manifestPath ?? ''] = {
      handler: (_, response) =>
        void asked.promise.then(() => response.writeHead(200, manifest?.headers).end(manifest?.body)),
    };
    routes[signaturePath ?? ''] = {
      handler(_, response) {
        asked.resolve(undefined);
        response.writeHead(200, signature?.headers).end(signature?.body);
      },
    };
    const outcome = await fetch(what === 'digest' ? `${reference}@${image.digest}` : `${reference}:2`);
    t.like(outcome, { status: 'fetched', signedBy: [alice.fingerprint] }, outcome?.error?.message);
  });
}

test('a platform that is taken out of a whole index, and an archive that is made later, have the proof of what was signed', async (t) => {
  const { image, reference, registry, signed, finder, keystore, store } = await open(t);
  const manifests = [{ ...image, manifest: undefined, platform: { os: 'linux', architecture: 'amd64' } }];
  const list = { schemaVersion: 2, mediaType: types.index, manifests };
  const index = registry.putManifest('team/app', '1', list, types.index);
  putSignatures(registry, 'team/app', index, [signed({ digest: index.digest })]);
  const name = `docker://${reference}:1`;
  await finder({ keystore, platform: ['all'] }).findImage(name);
  const { length } = registry.requests;
  await finder({ keystore }).findImage(name);
  const archive = await finder({ keystore, keep: 'both' }).findImage(name);
  t.is(registry.requests.length, length);
  for (const stored of [`${reference}:1`, `${reference}@${image.digest}`, String(archive)])
    t.like((await store.proofsOf(stored))[0], { kind: 'cosign-key', covers: index.digest }, stored);
});
