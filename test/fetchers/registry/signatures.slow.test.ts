import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { createApps, type Lookasides, type SignaturePlace } from '../../../src/index.ts';
import { type ActionOptions, type Outcome } from '../../../src/internal.ts';
import { createCosignKey, payloadOf, putSignatures, trustCosignKey } from '../../helpers/cosign.ts';
import { codesOf } from '../../helpers/fetching.ts';
import { openGpg, type SignOptions } from '../../helpers/keys.ts';
import { types } from '../../helpers/registry.ts';
import { layerOf, openRegistryFetching } from '../../helpers/registry-fetching.ts';
import { startServer } from '../../helpers/server.ts';
import { signMessage, type Statement, statementOf } from '../../helpers/simple-signing.ts';
import { temporaryDirectory } from '../../helpers/stored.ts';
import { openTrust } from '../../helpers/trust.ts';

const opening = openGpg();
test.after.always(async () => (await opening).close());
const alice = opening.then((gpg) => gpg.createKey({ userId: 'alice@example.com' }));
const bob = opening.then((gpg) => gpg.createKey({ userId: 'bob@example.com' }));

const everywhere = (others: SignaturePlace): Lookasides => ({ scopes: new Map(), others, fallback: undefined });

/** A registry with `team/app:1`, a place for signatures, and finders that check them, by Alice's for `team`. */
async function open(t: ExecutionContext, base: Partial<ActionOptions> = {}) {
  const gpg = await opening;
  const signatures = await temporaryDirectory(t);
  const options = { ...base, lookasides: base.lookasides ?? everywhere({ kind: 'file', path: signatures }) };
  const fetching = await openRegistryFetching(t, options);
  const { registry } = fetching;
  const prefix = registry.host;
  const keystore = await openTrust(t, gpg, { [`${prefix}/team`]: await alice });
  const image = registry.putImage('team/app', '1', { layers: [await layerOf({ a: '1' })] });
  const reference = `${registry.host}/team/app:1`;

  const put = async (number: number, bytes: Uint8Array, { digest = image.digest, repository = 'team/app' } = {}) => {
    const path = join(signatures, `${repository}@${digest.replace(':', '=')}`, `signature-${number}`);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, bytes);
  };
  const message = async (about: Partial<Statement> = {}, how: SignOptions & { readonly by?: string } = {}) => {
    const { by = await alice, ...options } = how;
    return signMessage(gpg, by, statementOf({ digest: image.digest, reference, ...about }), options);
  };
  const checked = fetching.finder({ keystore });
  const fetch = async (what = reference): Promise<Outcome | undefined> =>
    (await checked.findImages(createApps([`docker://${what}`]))).outcomes[0];
  const unchecked = async (what = reference) => fetching.fetch(`docker://${what}`);
  return { ...fetching, keystore, image, reference, prefix, put, message, fetch, unchecked, checked };
}

type Opened = Awaited<ReturnType<typeof open>>;

/** Refused with one line, and nothing is kept: no layer was asked for. */
async function refused(t: ExecutionContext, opened: Opened, code: string, pattern: RegExp) {
  const outcome = await opened.fetch();
  t.deepEqual([outcome?.status, outcome && codesOf(outcome)[0]], ['failed', code], outcome?.error?.message);
  t.regex(outcome?.error?.message ?? '', pattern);
  t.notRegex(outcome?.error?.message ?? '', /\n/);
  t.is(opened.asked('GET /v2/team/app/blobs/'), 0);
  t.deepEqual(
    [await opened.kept(), await opened.listed(), await opened.blobs(), await opened.leftovers()],
    [[], [], [], []],
  );
}

test('an image with a signature in a directory is fetched, and its signers are recorded in both forms', async (t) => {
  const { put, message, fetch, image, reference, store, registry, finder, keystore } = await open(t);
  await put(1, await message());
  const signedBy = [await alice];
  const first = await fetch();
  t.like(first, { status: 'fetched', digest: image.digest, signedBy }, first?.error?.message);
  t.deepEqual((await store.findRegistryImage(reference))?.verified, signedBy);
  const [archive] = await Array.fromAsync(store.images());
  t.deepEqual(archive?.verified, signedBy);

  const { length } = registry.requests;
  t.like(await fetch(), { status: 'present', signedBy });
  await using never = finder({ keystore, pullPolicy: 'never' });
  t.is(await never.findImage(`docker://${reference}`), archive?.imageId as never);
  t.is(registry.requests.length, length);
});

test('an image verified by a key that is not trusted now is verified again, or KEY_UNKNOWN', async (t) => {
  const { put, message, fetch, reference, prefix, finder, store } = await open(t);
  await put(1, await message());
  t.like(await fetch(), { status: 'fetched' });
  const other = await openTrust(t, await opening, { [`${prefix}/team`]: await bob });
  await using never = finder({ keystore: other, pullPolicy: 'never' });
  const image = await store.findRegistryImage(reference);
  for (const asked of [`docker://${reference}`, image?.imageId ?? '', image?.manifest.digest ?? '']) {
    const error = await t.throwsAsync(never.findImage(asked), { code: 'KEY_UNKNOWN' }, asked);
    t.regex(error.message, new RegExp(`verified by ${await alice}, not trusted now for ${prefix}/team/app`));
  }
  await using checked = finder({ keystore: other });
  await t.throwsAsync(checked.findImage(`docker://${reference}`), { code: 'KEY_UNKNOWN' });
  await put(1, await message({}, { by: await bob }));
  await checked.findImage(`docker://${reference}`);
  t.deepEqual((await store.findRegistryImage(reference))?.verified, [await alice, await bob]);
  await never.findImage(`docker://${reference}`);
});

test('where a public key is trusted as well, a signature by either key is enough, and a refusal says what was found', async (t) => {
  const key = createCosignKey();
  for (const by of ['openpgp', 'public key', 'nobody'] as const) {
    const opened = await open(t);
    const { put, message, fetch, image, reference, registry, keystore, prefix } = opened;
    await trustCosignKey(keystore, key, `${prefix}/team`);
    if (by === 'openpgp') await put(1, await message());
    if (by === 'nobody') await put(1, await message({}, { by: await bob }));
    const payload = payloadOf({ digest: image.digest, reference: reference.replace(/:1$/, '') });
    if (by === 'public key') putSignatures(registry, 'team/app', image, [{ payload, signature: key.sign(payload) }]);
    const signers = { openpgp: await alice, 'public key': key.fingerprint, nobody: undefined };
    const outcome = await fetch();
    t.deepEqual(outcome?.signedBy?.[0], signers[by], outcome?.error?.message);
    if (by === 'nobody') t.like(outcome?.error, { code: 'KEY_UNKNOWN' });
  }
});

test('signatures may be on a server, and over http on this machine', async (t) => {
  const routes: Record<string, { readonly body: Uint8Array }> = {};
  const server = await startServer(t, routes);
  const place = { kind: 'url', url: `${server.url}/sigs` } as const;
  const { message, fetch, image } = await open(t, { lookasides: everywhere(place) });
  routes[`/sigs/team/app@${image.digest.replace(':', '=')}/signature-1`] = { body: await message() };
  const outcome = await fetch();
  t.like(outcome, { status: 'fetched', signedBy: [await alice] }, outcome?.error?.message);
});

test('signatures over http from another machine are read only if that is allowed', async (t) => {
  const lookasides = everywhere({ kind: 'url', url: 'http://signatures.example.com/sigs' });
  const opened = await open(t, { lookasides });
  await refused(t, opened, 'INSECURE_REFUSED', /^signatures are not read over http, .*signatures\.example\.com/);
  t.is(opened.registry.requests.length, 0);
});

test('without a configured place for signatures the image is refused before any request', async (t) => {
  const lookasides = { scopes: new Map(), others: undefined, fallback: '/nowhere/at/all' };
  const opened = await open(t, { lookasides });
  await refused(t, opened, 'INSECURE_REFUSED', /registries\.d/);
  t.is(opened.registry.requests.length, 0);
});

test('the fallback directory is used if no place is configured', async (t) => {
  const directory = await temporaryDirectory(t);
  const opened = await open(t, { lookasides: { scopes: new Map(), others: undefined, fallback: directory } });
  await refused(t, opened, 'SIGNATURE_MISSING', new RegExp(`^there is no signature .*: ${directory}/team/app@sha256=`));
});

test('a place without a signature of the image', async (t) => {
  await refused(t, await open(t), 'SIGNATURE_MISSING', /team\/app@sha256=[0-9a-f]{64}\/signature-1$/);
});

test('a signature by another key', async (t) => {
  const opened = await open(t);
  await opened.put(1, await opened.message({}, { by: await bob }));
  await refused(
    t,
    opened,
    'KEY_UNKNOWN',
    new RegExp(`^signed by ${await bob}, not trusted for ${opened.prefix}/team/app`),
  );
});

test('a key that is trusted for another prefix', async (t) => {
  const opened = await open(t);
  opened.registry.putImage('other/app', '1', { layers: [await layerOf({ a: '1' })] });
  const reference = `${opened.registry.host}/other/app:1`;
  await opened.put(1, await opened.message({ reference }), { repository: 'other/app' });
  const outcome = await opened.fetch(reference);
  t.deepEqual(outcome && codesOf(outcome), ['KEY_UNKNOWN']);
});

test('a signature for another repository, another digest', async (t) => {
  const opened = await open(t);
  for (const about of [
    { reference: 'example.com/team/app:1' },
    { reference: `127.0.0.1/team/app:1` },
    { digest: `sha256:${'0'.repeat(64)}` },
  ]) {
    await opened.put(1, await opened.message(about));
    await refused(t, opened, 'SIGNATURE_INVALID', /^the signature by [0-9a-f]{40} is for .*, and not for /);
  }
});

test('invalid data, and an unsigned message', async (t) => {
  const opened = await open(t);
  await opened.put(1, Buffer.from('\u0000sigstore-json'));
  await refused(t, opened, 'SIGNATURE_UNREADABLE', /signature-1 holds no usable signature: it is not OpenPGP/);
  const content = statementOf({ digest: opened.image.digest, reference: opened.reference });
  await opened.put(1, await (await opening).run(['--store'], content));
  await refused(t, opened, 'SIGNATURE_UNREADABLE', /nobody has signed it/);
});

test('an expired key', async (t) => {
  const gpg = await opening;
  const at = '20200101T000000';
  const expired = await gpg.createKey({ expires: '1d', at });
  const opened = await open(t);
  await opened.keystore.add({ certificate: await gpg.certificate(expired), fingerprint: expired, layer: 0 });
  await opened.put(1, await opened.message({}, { by: expired, at }));
  await refused(t, opened, 'KEY_EXPIRED', /expired at 2020-01-02T00:00:00/);
});

test('one good signature of two is enough; after a gap in the numbers no more are requested', async (t) => {
  const opened = await open(t);
  await opened.put(1, await opened.message({}, { by: await bob }));
  await opened.put(3, await opened.message());
  await refused(t, opened, 'KEY_UNKNOWN', /./);
  await opened.put(2, await opened.message());
  t.like(await opened.fetch(), { status: 'fetched', signedBy: [await alice] });
});

test('too many signatures, and a signature over the limit', async (t) => {
  const many = await open(t, { limits: { signatures: 2 } });
  for (const number of [1, 2, 3]) await many.put(number, await many.message());
  await refused(t, many, 'LIMIT_EXCEEDED', /more than 2 signatures/);
  const large = await open(t, { limits: { signature: 100 } });
  await large.put(1, await large.message());
  await refused(t, large, 'LIMIT_EXCEEDED', /more than 100/);
});

test('a signature of the index is valid for the image chosen from it, and so is one of that image', async (t) => {
  const { registry, image, put, message, fetch } = await open(t);
  const platform = { os: 'linux', architecture: 'amd64' };
  const index = { schemaVersion: 2, manifests: [{ ...image, platform }] };
  const { digest } = registry.putManifest('team/app', '2', index, types.index);
  const reference = `${registry.host}/team/app:2`;
  t.deepEqual(codesOf((await fetch(reference)) ?? {}), ['SIGNATURE_MISSING']);
  await put(1, await message({ digest, reference }), { digest });
  t.like(await fetch(reference), { status: 'fetched', digest: image.digest, signedBy: [await alice] });
  registry.putManifest('team/app', '3', index, types.index);
  t.deepEqual(codesOf((await fetch(`${registry.host}/team/app:3`)) ?? {}), ['SIGNATURE_INVALID']);
  await put(1, await message({ reference: `${registry.host}/team/app:3` }));
  t.like(await fetch(`${registry.host}/team/app:3`), { status: 'fetched', signedBy: [await alice] });
});

test('with all platforms the index itself has to be signed, and what is chosen from it later is covered by that', async (t) => {
  const all = await open(t, { platform: ['all'], keep: 'oci' });
  const { registry, image, put, message, keystore, finder, reference, asked } = all;
  const entry = { mediaType: image.mediaType, digest: image.digest, size: image.size };
  const manifests = [{ ...entry, platform: { os: 'linux', architecture: 'amd64' } }];
  const index = registry.putManifest(
    'team/app',
    '1',
    { schemaVersion: 2, mediaType: types.index, manifests },
    types.index,
  );
  await put(1, await message());
  await refused(t, all, 'SIGNATURE_MISSING', /no signature/);
  await put(1, await message({ digest: index.digest }), { digest: index.digest });
  const signedBy = [await alice];
  t.like(await all.fetch(), { status: 'fetched', imageID: index.digest, signedBy });
  const before = asked('');
  const one = finder({ keystore, keep: 'oci', platform: ['linux/amd64'] });
  const { outcomes } = await one.findImages(createApps([`docker://${reference}`]));
  t.like(outcomes[0], { status: 'present', imageID: image.digest, signedBy });
  t.is(asked(''), before);
});

test('for several platforms each image is verified and stored', async (t) => {
  const { registry, image, put, message, fetch, asked } = await open(t, { platform: ['linux/amd64', 'linux/arm64'] });
  const arm = registry.putImage('team/app', undefined, { layers: [await layerOf({ a: '2' })], architecture: 'arm64' });
  const manifests = [
    { ...image, platform: { os: 'linux', architecture: 'amd64' } },
    { ...arm, platform: { os: 'linux', architecture: 'arm64' } },
  ];
  registry.putManifest('team/app', '1', { schemaVersion: 2, manifests }, types.index);
  await put(1, await message());
  t.deepEqual(codesOf((await fetch()) ?? {}), ['SIGNATURE_MISSING']);
  await put(1, await message({ digest: arm.digest }), { digest: arm.digest });
  t.like(await fetch(), { status: 'fetched', signedBy: [await alice] });
  const requests = asked('');
  t.like(await fetch(), { status: 'present', signedBy: [await alice] });
  t.is(asked(''), requests);
});

test('an image stored without verification is verified before it is used, without downloading its layers again', async (t) => {
  const { unchecked, fetch, put, message, asked, store, reference } = await open(t);
  t.like(await unchecked(), { status: 'fetched', signedBy: [] });
  const bodies = asked('GET /v2/team/app/blobs/');
  t.deepEqual(codesOf((await fetch()) ?? {}), ['SIGNATURE_MISSING']);
  t.is((await store.findRegistryImage(reference))?.verified, false);
  await put(1, await message());
  const signedBy = [await alice];
  t.like(await fetch(), { status: 'fetched', signedBy });
  t.is(asked('GET /v2/team/app/blobs/'), bodies);
  t.like(await fetch(), { status: 'present', signedBy });
  t.like(await unchecked(), { status: 'present', signedBy });
});

test('the same holds for an image stored in one form', async (t) => {
  for (const keep of ['oci', 'aci'] as const) {
    const { unchecked, fetch } = await open(t, { keep });
    t.like(await unchecked(), { status: 'fetched' });
    t.deepEqual(codesOf((await fetch()) ?? {}), ['SIGNATURE_MISSING'], keep);
  }
});

test('a digest means the verified one of several references to it', async (t) => {
  const { registry, unchecked, fetch, checked, put, message, image } = await open(t, { keep: 'oci' });
  await unchecked();
  registry.putManifest('team/app', '2', image.manifest);
  const second = `${registry.host}/team/app:2`;
  const byDigest = async () => (await checked.findImages(createApps([image.digest]))).outcomes[0];
  t.deepEqual(codesOf((await byDigest()) ?? {}), ['SIGNATURE_MISSING']);
  await put(1, await message({ reference: second }));
  t.like(await fetch(second), { status: 'fetched' });
  t.like(await byDigest(), { status: 'present', signedBy: [await alice], labels: { version: '2' } });
});

test('a plan checks signatures and has the place of the valid one', async (t) => {
  const { put, message, reference, checked, asked } = await open(t);
  const plan = async () => (await checked.planImages(createApps([`docker://${reference}`]))).outcomes[0];
  t.like(await plan(), { status: 'failed', error: { code: 'SIGNATURE_MISSING' } });
  await put(1, await message({}, { by: await bob }));
  await put(2, await message());
  const planned = await plan();
  t.is(planned?.status, 'absent');
  t.regex(planned?.signature ?? '', /signature-2$/);
  t.is(asked('GET /v2/team/app/blobs/'), 0);
});

test('an image that none of the locked keys has signed is refused before a layer is asked for; with one of them it is fetched by its digest', async (t) => {
  const opened = await open(t);
  const { put, message, image, reference, checked, registry, kept, asked } = opened;
  await put(1, await message());
  registry.putImage('team/app', '1', { layers: ['newer'] });
  const fetchBy = async (signer: string) => {
    const entry = {
      digest: image.digest as never,
      platforms: { 'linux/amd64': image.digest as never },
      signedBy: [signer],
    };
    const lock = { images: new Map([[`docker://${reference}`, entry]]), frozen: true, onFound: () => undefined };
    const { outcomes } = await checked.findImages(createApps([`docker://${reference}`]), { lock });
    return outcomes[0];
  };
  const refused = await fetchBy(await bob);
  t.like(refused, { status: 'failed', error: { code: 'LOCK_MISMATCH' } });
  t.regex(refused?.error?.message ?? '', /it is signed by [0-9a-f]+, and not by [0-9a-f]+/);
  t.deepEqual([asked('GET /v2/team/app/blobs/'), await kept()], [0, []]);
  t.like(await fetchBy(await alice), { status: 'fetched', digest: image.digest, signedBy: [await alice] });
  t.deepEqual(await kept(), [reference]);
});
