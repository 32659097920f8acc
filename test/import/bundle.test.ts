import { readFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';

import test, { type ExecutionContext } from 'ava';

import {
  blobFile,
  type Bundle,
  bundleDocument,
  formatBundle,
  proofFile,
  tarFile,
  toBundledProof,
} from '../../src/bundle/bundle.ts';
import { adviceFor } from '../../src/cli/output/advice.ts';
import { hasCode } from '../../src/errors.ts';
import type { Digest } from '../../src/image/digest.ts';
import type { Keystore, Store } from '../../src/internal.ts';
import { buildAci } from '../helpers/archive.ts';
import { blobsOf, type Files, layoutOf, layoutOfImages, makeImage, named, tarOf } from '../helpers/carried.ts';
import { createCosignKey, payloadOf, trustCosignKey } from '../helpers/cosign.ts';
import { openImporting, statusOf, writeLayout } from '../helpers/importing.ts';
import { openGpg } from '../helpers/keys.ts';
import { asJson, describe, digestOf } from '../helpers/registry-image.ts';
import { signMessage, statementOf } from '../helpers/simple-signing.ts';
import { openTrust } from '../helpers/trust.ts';

const gpg = await openGpg();
const key = await gpg.createKey();
const stranger = await gpg.createKey();
test.after.always(() => gpg.close());

const reference = 'example.com/app:1';
const one = await makeImage('one');
const two = await makeImage('two');
const aci = await buildAci({ name: 'example.com/aci', version: '1', compress: 'gzip', files: { a: 'b' } });
const aciName = 'example.com/aci,version=1';
const platform = { os: 'linux', architecture: 'amd64' };

type Signed = { readonly kind: 'openpgp' | 'simple-signing'; readonly bytes: Buffer; readonly covers: Digest };

/** A proof as a bundle has it, and the file with its bytes. */
function proofOf({ kind, bytes, covers }: Signed) {
  const digest = digestOf(bytes);
  const proof = toBundledProof(
    kind === 'openpgp' ? { kind, bytes, covers, signedBy: [], digests: [] } : { kind, bytes, covers, signedBy: [] },
    digest,
  );
  return { proofs: proof ? [proof] : [], files: { [proofFile(digest)]: bytes } };
}

function withBundle(layout: Files, bundle: Partial<Bundle>, ...files: readonly Files[]): Files {
  const document = Buffer.from(formatBundle({ archives: [], images: [], leftOut: [], ...bundle }));
  return { ...layout, [bundleDocument]: document, ...(Object.assign({}, ...files) as Files) };
}

const source = `docker://${reference}`;

/** A bundle with one image of a registry, signed by a key of OpenPGP. */
async function signedImage(by = key, about = reference): Promise<Files> {
  const { digest } = one.manifest;
  const bytes = await signMessage(gpg, by, statementOf({ digest, reference: about }));
  const { proofs, files } = proofOf({ kind: 'simple-signing', bytes, covers: digest });
  const image = { reference, manifest: one.manifest, platform, referrers: [], source, latest: false, proofs };
  return withBundle(layoutOfImages({ [reference]: one }), { images: [image] }, files);
}

/** A bundle with one archive (ACI), as it was transferred. */
async function signedArchive(by = key): Promise<Files> {
  const digest = digestOf(aci.bytes);
  const bytes = await gpg.sign(by, aci.bytes);
  const { proofs, files } = proofOf({ kind: 'openpgp', bytes, covers: digest });
  const archive = { ...archiveFacts(digest), transferred: aci.bytes.length, proofs };
  return withBundle(layoutOf([]), { archives: [archive] }, files, { [blobFile(digest)]: aci.bytes });
}

function archiveFacts(digest: Digest) {
  const labels = new Map([['version', '1']]);
  const facts = { imageId: aci.imageId, name: 'example.com/aci', labels, size: aci.tar.length, digest, latest: true };
  return { ...facts, source: 'https://example.com/aci.aci', proofs: [] };
}

async function openVerifying(t: ExecutionContext, keystore?: Keystore) {
  const trusted = keystore ?? (await openTrust(t, gpg, { 'example.com': key }));
  return openImporting(t, { keystore: trusted, insecure: {} });
}

test('an image of a registry is judged again by its signature in the bundle, and that is kept', async (t) => {
  const { take, store } = await openVerifying(t);
  const tar = await tarOf(await signedImage());
  t.deepEqual(statusOf(await take(tar)), [`docker://${reference} fetched`]);
  t.like(await store.findRegistryImage(reference), { verified: [key], source });
  t.like((await store.proofsOf(reference))[0], { kind: 'simple-signing', covers: one.manifest.digest });
  t.deepEqual(statusOf(await take(tar)), [`docker://${reference} present`]);
});

test('an image without a good signature of a trusted key is refused, and others are kept', async (t) => {
  const { take, listed } = await openVerifying(t);
  const unsigned = layoutOfImages({ [reference]: one });
  const cases: readonly (readonly [Files, string])[] = [
    [unsigned, 'SIGNATURE_MISSING'],
    [await signedImage(stranger), 'KEY_UNKNOWN'],
    [await signedImage(key, 'example.com/other:1'), 'SIGNATURE_INVALID'],
  ];
  for (const [files, code] of cases) {
    t.deepEqual(statusOf(await take(await tarOf(files))), [`docker://${reference} ${code}`]);
    t.deepEqual(await listed(), {}, code);
  }
  const both = {
    ...(await signedImage()),
    ...two.blobs,
    'index.json': layoutOfImages({ [reference]: one, 'b:1': two })['index.json'] ?? Buffer.alloc(0),
  };
  t.deepEqual(statusOf(await take(await tarOf(both))), [
    `docker://${reference} fetched`,
    'docker://docker.io/library/b:1 SIGNATURE_MISSING',
  ]);
});

test('a signature or a layer that was altered refuses its image, which is named', async (t) => {
  const files = await signedImage();
  for (const path of Object.keys(files).filter((name) => /proofs|blobs/.test(name))) {
    const { take, listed } = await openVerifying(t);
    const bytes = Buffer.from(files[path] ?? '');
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    t.deepEqual(
      statusOf(await take(await tarOf({ ...files, [path]: bytes }))),
      [`docker://${reference} DIGEST_MISMATCH`],
      path,
    );
    t.deepEqual(await listed(), {});
  }
});

test('an image whose index was signed is judged by that, though the index is not whole', async (t) => {
  const document = asJson({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [
      { ...one.manifest, platform },
      { ...two.manifest, platform: { os: 'linux', architecture: 'arm64' } },
    ],
  });
  const index = describe('application/vnd.oci.image.index.v1+json', document);
  const bytes = await signMessage(gpg, key, statementOf({ digest: index.digest, reference }));
  const { proofs, files } = proofOf({ kind: 'simple-signing', bytes, covers: index.digest });
  const image = { reference, manifest: one.manifest, index, platform, referrers: [], source, latest: false, proofs };
  const further = { ...image, reference: `example.com/app@${one.manifest.digest}` };
  const layout = layoutOfImages({ [reference]: one });
  const { take, store } = await openVerifying(t);
  await take(await tarOf(withBundle(layout, { images: [image, further] }, files, blobsOf([document]))));
  for (const name of [reference, further.reference])
    t.like(await store.findRegistryImage(name), { manifest: one.manifest, index, verified: [key] }, name);
});

test('signatures of cosign are found under their tags, and as what is attached', async (t) => {
  const cosign = createCosignKey();
  const keystore = await openTrust(t, gpg, {});
  await trustCosignKey(keystore, cosign, 'example.com');
  const { digest } = one.manifest;
  const payload = payloadOf({ digest, reference: 'example.com/app' });
  const empty = asJson({});
  const signature = asJson({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: describe('application/vnd.oci.image.config.v1+json', empty),
    layers: [
      {
        ...describe('application/vnd.dev.cosign.simplesigning.v1+json', payload),
        annotations: { 'dev.cosignproject.cosign/signature': cosign.sign(payload).toString('base64') },
      },
    ],
  });
  const tag = `example.com/app:${digest.replace(':', '-')}.sig`;
  const entries = [
    named(reference, one.manifest),
    named(tag, describe('application/vnd.oci.image.manifest.v1+json', signature)),
  ];
  const { take, store, listed } = await openVerifying(t, keystore);
  const tar = await tarOf(layoutOf(entries, one.blobs, blobsOf([signature, payload, empty])));
  t.deepEqual(statusOf(await take(tar)), [`docker://${reference} fetched`]);
  t.deepEqual(statusOf(await take(tar)), [`docker://${reference} present`]);
  const kept = await store.findRegistryImage(reference);
  t.like(kept, { verified: [cosign.fingerprint] });
  t.like(kept?.referrers?.[0], { digest: digestOf(signature), subject: digest, tag: tag.split(':')[1] });
  t.deepEqual(Object.keys(await listed()), [reference]);
});

test('what is attached to an image of a layout comes along', async (t) => {
  const sbom = Buffer.from('{"an":"sbom"}');
  const attached = asJson({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    artifactType: 'application/spdx+json',
    config: describe('application/vnd.oci.empty.v1+json', asJson({})),
    layers: [describe('application/spdx+json', sbom)],
    subject: one.manifest,
  });
  const entries = [
    named(reference, one.manifest),
    named(undefined, describe('application/vnd.oci.image.manifest.v1+json', attached)),
  ];
  const { take, store } = await openImporting(t);
  await take(await tarOf(layoutOfImages({ [reference]: one })));
  const tar = await tarOf(layoutOf(entries, one.blobs, blobsOf([attached, sbom, asJson({})])));
  t.deepEqual(statusOf(await take(tar)), [`docker://${reference} fetched`]);
  t.deepEqual(statusOf(await take(tar)), [`docker://${reference} present`]);
  const [referrer] = (await store.findRegistryImage(reference))?.referrers ?? [];
  t.like(referrer, { digest: digestOf(attached), subject: one.manifest.digest, artifactType: 'application/spdx+json' });
});

test('an archive is verified as it was transferred, and kept so where that is asked for', async (t) => {
  const { take, store } = await openVerifying(t);
  const tar = await tarOf(await signedArchive());
  t.deepEqual(statusOf(await take(tar, { keepArchives: true })), [`${aciName} fetched`]);
  const image = await store.getImage(aci.imageId);
  t.like(image, { verified: [key], source: 'https://example.com/aci.aci', latest: true });
  const archive = await store.archiveOf(aci.imageId);
  t.deepEqual(archive && (await readFile(archive.path)), aci.bytes);
  t.is(archive?.signatures.length, 1);
  t.deepEqual(statusOf(await take(tar, { images: ['example.com/aci:1'] })), [`${aciName} present`]);
});

test('two imports into one store take turns: what the first removes in the end, the second may count on', async (t) => {
  const { take, store, warnings } = await openVerifying(t);
  const tar = await tarOf(await signedArchive());
  const [received, discarded] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let second: ReturnType<typeof take> | undefined;
  const afterwards: Store = {
    ...store,
    async getImage(imageId) {
      received.resolve(); // it has found all blobs
      await discarded.promise;
      return store.getImage(imageId);
    },
  };
  const first: Store = {
    ...store,
    async discardBlobs(digests) {
      await store.remove(aci.imageId);
      second = take(tar, { store: afterwards });
      await Promise.race([received.promise, setTimeout(300)]);
      await store.discardBlobs(digests);
      discarded.resolve();
    },
  };
  t.deepEqual(statusOf(await take(tar, { store: first })), [`${aciName} fetched`]);
  t.deepEqual(statusOf((await second) ?? []), [`${aciName} fetched`]);
  t.regex(warnings.join(), /another import into this store is waited for/);
});

test('an archive whose signature cannot be judged is refused, unless images are not checked', async (t) => {
  const digest = digestOf(aci.bytes);
  const bare = withBundle(layoutOf([]), { archives: [archiveFacts(digest)] }, { [tarFile(aci.imageId)]: aci.tar });
  const altered = { ...(await signedArchive()), [blobFile(digest)]: Buffer.concat([aci.bytes, Buffer.from('x')]) };
  const unsigned = withBundle(
    layoutOf([]),
    { archives: [{ ...archiveFacts(digest), transferred: aci.bytes.length }] },
    { [blobFile(digest)]: aci.bytes },
  );
  const { take, store } = await openVerifying(t);
  const cases: readonly (readonly [Files, string])[] = [
    [bare, 'SIGNATURE_MISSING'],
    [unsigned, 'SIGNATURE_MISSING'],
    [await signedArchive(stranger), 'KEY_UNKNOWN'],
    [altered, 'DIGEST_MISMATCH'],
  ];
  for (const [files, code] of cases) {
    const outcomes = await take(await tarOf(files));
    t.deepEqual(statusOf(outcomes), [`${aciName} ${code}`]);
    const [error] = outcomes.flatMap((outcome) => outcome.error ?? []);
    if (error && hasCode(error, 'SIGNATURE_MISSING'))
      t.regex(adviceFor(error), /--keep-archives where the bundle was made/);
    t.is(await store.getImage(aci.imageId), undefined);
  }
  t.deepEqual(statusOf(await take(await tarOf(bare), { insecure: { image: true } })), [`${aciName} fetched`]);
  t.like(await store.getImage(aci.imageId), { verified: false, digest: digestOf(aci.tar) });
});

test('an archive that is another than the bundle says is refused', async (t) => {
  const { take } = await openImporting(t);
  const other = await buildAci({ name: 'example.com/aci', version: '1', files: { other: 'x' } });
  const digest = digestOf(other.bytes);
  const archive = { ...archiveFacts(digest), transferred: other.bytes.length };
  const files = withBundle(layoutOf([]), { archives: [archive] }, { [blobFile(digest)]: other.bytes });
  t.deepEqual(statusOf(await take(await tarOf(files))), [`${aciName} IMAGE_ID_MISMATCH`]);
});

test('a bundle that is unpacked into a directory is read from there', async (t) => {
  const { take, store, directory } = await openVerifying(t);
  const layout = await writeLayout(directory, { ...(await signedArchive()) });
  t.deepEqual(statusOf(await take(layout)), [`${aciName} fetched`]);
  t.truthy(await store.getImage(aci.imageId));
});

test('a blob that a bundle leaves out is no damage: it is for the store that has it, and nothing is downloaded', async (t) => {
  const importing = await openImporting(t);
  const { packed } = one;
  const image = { reference, manifest: one.manifest, platform, referrers: [], source, latest: false, proofs: [] };
  const leftOut = [digestOf(packed)];
  const whole = withBundle(layoutOfImages({ [reference]: one }), { images: [image], leftOut });
  const update = Object.fromEntries(Object.entries(whole).filter(([name]) => name !== blobFile(digestOf(packed))));
  const events: string[] = [];
  const [outcome] = await importing.take(await tarOf(update), { onEvent: ({ type }) => void events.push(type) });
  t.deepEqual(
    events.filter((type) => type.startsWith('download-')),
    [],
  );
  t.like(outcome?.error, { code: 'NOT_IN_STORE' });
  t.regex(outcome?.error?.message ?? '', /leaves out: it was made for another store$/);
  await importing.take(await tarOf(layoutOfImages({ 'other.example/app:1': one })));
  t.deepEqual(statusOf(await importing.take(await tarOf(update))), [`docker://${reference} fetched`]);
});

test('a bundle whose document is damaged is refused', async (t) => {
  const { take } = await openImporting(t);
  const files = { ...(await signedImage()), [bundleDocument]: Buffer.from('{"schema":"longshore.bundle/1"}') };
  await t.throwsAsync(take(await tarOf(files)), { message: /bad longshore\/bundle.json/ });
});
