import { mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import type { Digest } from '../../src/image/digest.ts';
import { noPlatform } from '../../src/image/platform.ts';
import { relistImages } from '../../src/images/relist.ts';
import { openStore } from '../../src/store/open-store.ts';
import type { Referrer, RegistryCommit, RegistryImage } from '../../src/store/registry-store.ts';
import type { Store } from '../../src/store/store.ts';
import {
  asJson,
  describe,
  digestOf,
  namesInIndex,
  prepareRegistryImage,
  putBytes,
  putRegistryImage,
} from '../helpers/registry-image.ts';
import { storeContext } from '../helpers/store-context.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const never = new AbortController().signal;
const ociManifest = 'application/vnd.oci.image.manifest.v1+json';
const ociIndex = 'application/vnd.oci.image.index.v1+json';
const dockerList = 'application/vnd.docker.distribution.manifest.list.v2+json';
const dockerManifest = 'application/vnd.docker.distribution.manifest.v2+json';

type Context = Awaited<ReturnType<typeof storeContext>>;

/** The store with a new index, and what a repair lists again. */
async function afterLoss(t: ExecutionContext, { store, pool }: Context, harm?: (dir: string) => Promise<void>) {
  const { dir } = store;
  await store.close();
  await rm(join(dir, 'index.sqlite'));
  await harm?.(dir);
  const repaired = await openStore({ dir, relisting: true });
  t.teardown(() => repaired.close());
  const relisted = await relistImages({ store: repaired, pool }, 2, never);
  return { store: repaired, relisted, images: await Array.fromAsync(repaired.registryImages()) };
}

function facts({ reference, manifest, index, oci, platform, blobs }: RegistryImage) {
  return { reference, manifest, index, oci, platform, blobs: blobs.toSorted() };
}

/** The same image with a docker manifest, of which that of the image is derived. */
async function asDocker(store: Store, commit: RegistryCommit): Promise<RegistryCommit> {
  const bytes = await readFile(store.digestPath(commit.manifest.digest));
  const docker = asJson({ ...(JSON.parse(bytes.toString()) as object), mediaType: dockerManifest });
  const digest = await putBytes(store, docker);
  return {
    ...commit,
    manifest: describe(dockerManifest, docker),
    oci: commit.manifest,
    blobs: [...commit.blobs, digest],
  };
}

/** One that came with a docker manifest, out of an index for several platforms. */
async function putDockerImage(store: Store): Promise<RegistryImage> {
  const commit = await asDocker(store, await prepareRegistryImage(store, { content: 'docker' }));
  const list = asJson({ schemaVersion: 2, mediaType: ociIndex, manifests: [commit.manifest] });
  await putBytes(store, list);
  return store.commitRegistryImage({ ...commit, index: describe(ociIndex, list) });
}

test('a docker manifest, the OCI manifest derived from it and the index that led to it become one image again', async (t) => {
  const context = await storeContext(t);
  const image = await putDockerImage(context.store);
  await context.store.writeOciIndex();
  const { images, relisted } = await afterLoss(t, context);
  t.deepEqual(images.map(facts), [facts(image)]);
  t.deepEqual([relisted.count, relisted.kept], [1, []]);
});

test('an index that was kept with everything in it is so again, and its attestations are no images of their own', async (t) => {
  const context = await storeContext(t);
  const { store } = context;
  const images = ['amd64', 'arm64'].map((content) => prepareRegistryImage(store, { content }));
  const attestation = await prepareRegistryImage(store, { content: 'attestation' });
  const parts = [...(await Promise.all(images)), attestation];
  const bytes = asJson({ schemaVersion: 2, mediaType: ociIndex, manifests: parts.map(({ manifest }) => manifest) });
  const blobs = [await putBytes(store, bytes), ...parts.flatMap((part) => part.blobs)];
  const platforms = parts.map(({ platform }) => platform);
  const whole = { ...attestation, manifest: describe(ociIndex, bytes), platforms, platform: noPlatform, blobs };
  const kept = await store.commitRegistryImage(whole);
  await store.writeOciIndex();
  const after = await afterLoss(t, context);
  t.deepEqual(after.images.map(facts), [facts(kept)]);
  t.deepEqual(after.images[0]?.platforms, platforms);
  t.deepEqual([after.relisted.count, after.relisted.kept], [1, []]);
});

test('an image whose name is lost is listed under its digest', async (t) => {
  const context = await storeContext(t);
  const image = await putRegistryImage(context.store);
  const { images, store } = await afterLoss(t, context, (dir) => rm(join(dir, 'index.json')));
  const reference = `unnamed.invalid/image@${image.manifest.digest}`;
  t.deepEqual(images.map(facts), [{ ...facts(image), reference }]);
  await store.writeOciIndex();
  t.deepEqual(await namesInIndex(store.dir), [reference]);
});

test('names are found in a truncated index.json, and in one that was set aside', async (t) => {
  const context = await storeContext(t);
  const { store } = context;
  const first = await putRegistryImage(store, { content: 'first' });
  await store.writeOciIndex();
  await writeFile(join(store.dir, 'index.json.damaged-7'), await readFile(join(store.dir, 'index.json')));
  await store.removeRegistryImage(first.reference);
  const second = await putRegistryImage(store, { content: 'second' });
  const third = await putRegistryImage(store, { content: 'third' });
  await store.writeOciIndex();
  const again = await prepareRegistryImage(store, { content: 'first' });
  t.deepEqual(again.manifest, first.manifest);
  const { images } = await afterLoss(t, context, async (dir) => {
    const path = join(dir, 'index.json');
    await truncate(path, (await readFile(path)).length - 20);
  });
  t.deepEqual(images.map(({ reference }) => reference).sort(), [
    first.reference,
    second.reference,
    `unnamed.invalid/image@${third.manifest.digest}`,
  ]);
});

test('an incomplete image is not listed, and its files are kept', async (t) => {
  const context = await storeContext(t);
  const { store } = context;
  const image = await putRegistryImage(store);
  const layer = image.blobs.find((digest) => digest !== image.manifest.digest) ?? image.manifest.digest;
  const { images, relisted } = await afterLoss(t, context, () => rm(store.digestPath(layer)));
  t.deepEqual(images, []);
  const left = image.blobs.filter((digest) => digest !== layer).map((digest) => store.digestPath(digest));
  t.deepEqual(relisted.kept.toSorted(), left.toSorted());
});

test('a repair of a sound store does not restore replaced images, and leaves the images of other tools alone', async (t) => {
  const context = await storeContext(t);
  const { store } = context;
  const old = await putRegistryImage(store, { content: 'old', reference: 'docker.io/library/app:1' });
  await putRegistryImage(store, { content: 'new', reference: 'docker.io/library/app:1' });
  await store.writeOciIndex();
  const bytes = asJson({ schemaVersion: 2, mediaType: ociManifest, config: describe('x', asJson({})), layers: [] });
  await writeFile(store.digestPath(digestOf(bytes)), bytes);
  await writeFile(store.digestPath(digestOf(asJson({}))), asJson({}));
  const path = join(store.dir, 'index.json');
  const document = JSON.parse(await readFile(path, 'utf8')) as { manifests: object[] };
  const theirs = { ...describe(ociManifest, bytes), annotations: { 'org.opencontainers.image.ref.name': '1' } };
  await writeFile(path, JSON.stringify({ ...document, manifests: [...document.manifests, theirs] }));

  const relisted = await relistImages(context, 2, never);
  t.deepEqual([relisted.count, relisted.kept], [0, []]);
  t.deepEqual((await Array.fromAsync(store.registryImages())).length, 1);
  t.true(await store.hasBlob(old.manifest.digest)); // until gc
});

test('a layout made by another tool does not count as a store with a lost index', async (t) => {
  const dir = join(await temporaryDirectory(t), 'layout');
  await mkdir(join(dir, 'blobs', 'sha256'), { recursive: true });
  const bytes = asJson({ schemaVersion: 2 });
  await writeFile(join(dir, 'blobs', 'sha256', digestOf(bytes).slice('sha256:'.length)), bytes);
  await writeFile(join(dir, 'index.json'), asJson({ schemaVersion: 2, manifests: [describe(ociManifest, bytes)] }));
  for (const readOnly of [true, false]) {
    await using store = await openStore({ dir, readOnly });
    t.deepEqual(await Array.fromAsync(store.registryImages()), []);
  }
});

/** Commits an index with two images in it, as everything in it is kept. */
async function putWhole(store: Store, type: string, images: readonly RegistryCommit[]) {
  const manifests = images.map(({ manifest }, at) => ({ ...manifest, platform: platformAt(at) }));
  const bytes = asJson({ schemaVersion: 2, mediaType: type, manifests });
  return {
    index: describe(type, bytes),
    blobs: [await putBytes(store, bytes), ...images.flatMap(({ blobs }) => blobs)],
  };
}

const platformAt = (at: number) => ({ os: 'linux', architecture: at === 0 ? 'arm64' : 'amd64' });

test('a docker list is one again, by its own digest, and the index derived from it stays beside it', async (t) => {
  const context = await storeContext(t);
  const { store } = context;
  const derived = await Promise.all(['one', 'two'].map((content) => prepareRegistryImage(store, { content })));
  const images = await Promise.all(derived.map((image) => asDocker(store, image)));
  const list = await putWhole(store, dockerList, images);
  const oci = await putWhole(store, ociIndex, derived);
  const blobs = [...new Set([...list.blobs, ...oci.blobs])];
  const platforms = [platformAt(0), platformAt(1)];
  const about = { manifest: list.index, oci: oci.index, platforms, platform: noPlatform, blobs };
  const kept = await store.commitRegistryImage({ ...(images[0] as RegistryCommit), ...about });
  await store.writeOciIndex();
  const after = await afterLoss(t, context);
  t.deepEqual(after.images.map(facts), [facts(kept)]);
  t.deepEqual(after.images[0]?.platforms, platforms);
  t.deepEqual([after.relisted.count, after.relisted.kept], [1, []]);
});

/** A manifest that is attached to another one, and all its blobs. */
async function putReferrer(
  store: Store,
  { artifactType, of, tag }: { artifactType: string; of: Digest; tag?: string },
): Promise<{ readonly referrer: Referrer; readonly blobs: readonly Digest[] }> {
  const [config, layer] = [asJson({ artifactType }), Buffer.from(`${artifactType} of ${of}`)];
  const manifest = asJson({
    ...{ schemaVersion: 2, mediaType: ociManifest, artifactType, config: describe('application/json', config) },
    layers: [describe(artifactType, layer)],
    ...(tag === undefined && { subject: { mediaType: ociManifest, digest: of, size: 1 } }),
  });
  const blobs = await Promise.all([config, layer, manifest].map((bytes) => putBytes(store, bytes)));
  const about = { artifactType, subject: of, ...(tag !== undefined && { tag }) };
  return { referrer: { ...describe(ociManifest, manifest), ...about }, blobs };
}

/** An image with an SBOM, the signature of that, and a signature that is found by its tag. */
async function putSigned(store: Store, about: Partial<RegistryCommit> = {}) {
  const commit = { ...(await prepareRegistryImage(store, { content: 'signed' })), ...about };
  const { digest } = commit.manifest;
  const sbom = await putReferrer(store, { artifactType: 'application/vnd.example.sbom', of: digest });
  const signature = await putReferrer(store, { artifactType: 'application/vnd.signature', of: sbom.referrer.digest });
  const tag = `${digest.replace(':', '-')}.sig`;
  const tagged = await putReferrer(store, { artifactType: 'application/vnd.cosign', of: digest, tag });
  const attached = [sbom, signature, tagged];
  const blobs = [...commit.blobs, ...attached.flatMap((one) => one.blobs)];
  const referrers = attached.map(({ referrer }) => referrer);
  return { image: await store.commitRegistryImage({ ...commit, referrers, blobs }), attached };
}

test('what is attached to an image is so again, also what is found by a tag', async (t) => {
  const context = await storeContext(t);
  const { image } = await putSigned(context.store);
  await context.store.writeOciIndex();
  const { images, relisted } = await afterLoss(t, context);
  t.deepEqual(images.map(facts), [facts(image)]);
  t.deepEqual(images[0]?.referrers, image.referrers);
  t.deepEqual([relisted.count, relisted.kept], [1, []]);
});

test('without names, what says that it is attached to an image is so again', async (t) => {
  const context = await storeContext(t);
  const { image, attached } = await putSigned(context.store);
  await context.store.writeOciIndex();
  const { images, relisted, store } = await afterLoss(t, context, (dir) => rm(join(dir, 'index.json')));
  t.deepEqual(images[0]?.referrers, image.referrers?.slice(0, 2));
  t.is(images.length, 1);
  t.deepEqual(
    relisted.kept.toSorted(),
    (attached[2]?.blobs ?? []).map((digest) => store.digestPath(digest)).toSorted(),
  );
});

test('an image whose attached blobs are gone in part is listed with the rest of them', async (t) => {
  const context = await storeContext(t);
  const { image, attached } = await putSigned(context.store);
  await context.store.writeOciIndex();
  const [, layer = image.manifest.digest] = attached[2]?.blobs ?? [];
  const gone = context.store.digestPath(layer);
  const { images } = await afterLoss(t, context, () => rm(gone));
  t.deepEqual(images[0]?.referrers, image.referrers?.slice(0, 2));
});

test('of an index for several platforms each image keeps it, and one asked for by the digest of the index is found by that', async (t) => {
  const context = await storeContext(t);
  const { store } = context;
  const commits = await Promise.all(['one', 'two'].map((content) => prepareRegistryImage(store, { content })));
  const { index } = await putWhole(store, ociIndex, commits);
  const named = (at: number, name: string) => ({
    ...(commits[at] as RegistryCommit),
    reference: `docker.io/library/${name}`,
  });
  for (const commit of [named(0, `app@${index.digest}`), named(1, `app@${commits[1]?.manifest.digest}`)])
    await store.commitRegistryImage({ ...commit, index, blobs: [...commit.blobs, index.digest] });
  await store.commitRegistryImage(named(1, `other@${commits[1]?.manifest.digest}`)); // not by way of the index
  const before = await Array.fromAsync(store.registryImages());
  await store.writeOciIndex();
  const { images } = await afterLoss(t, context);
  t.deepEqual(images.map(facts), before.map(facts));
});
