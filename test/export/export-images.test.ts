import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { gunzipSync, gzipSync, zstdDecompressSync } from 'node:zlib';

import test, { type ExecutionContext } from 'ava';

import type { Bundle } from '../../src/bundle/bundle.ts';
import { parseBundle } from '../../src/bundle/parse-bundle.ts';
import type { OtherSide } from '../../src/export/bundle-contents.ts';
import { exportImages, type ManyExport, type ManyFormat } from '../../src/export/export-images.ts';
import type { Proof } from '../../src/image/proof.ts';
import type { Referrer, RegistryImage } from '../../src/store/registry-store.ts';
import type { Store, StoredImage } from '../../src/store/store.ts';
import { buildAci, buildTar } from '../helpers/archive.ts';
import { stampNow } from '../helpers/blob.ts';
import { damageFile } from '../helpers/damage.ts';
import {
  asJson,
  describe,
  digestOf,
  prepareRegistryImage,
  putBytes,
  putRegistryImage,
} from '../helpers/registry-image.ts';
import { fits } from '../helpers/schemas.ts';
import { storeContext } from '../helpers/store-context.ts';
import { putImage, temporaryDirectory } from '../helpers/stored.ts';
import { untar } from '../helpers/untar.ts';

const never = new AbortController().signal;
const types = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
};

type Options = Omit<ManyExport, 'selection' | 'target'> & { readonly compress?: 'gzip' | 'zstd' };

async function open(t: ExecutionContext) {
  const context = await storeContext(t);
  const directory = await temporaryDirectory(t);
  const select = (...all: readonly (RegistryImage | StoredImage)[]) => ({
    images: all.filter((one) => 'manifest' in one),
    archives: all.filter((one): one is StoredImage => !('manifest' in one)),
  });
  const write = async (images: readonly (RegistryImage | StoredImage)[], { compress, ...options }: Options = {}) => {
    const output = new PassThrough();
    const received = buffer(output);
    const target = { kind: 'stream', output, compress } as const;
    const warnings = await exportImages(context, { ...options, selection: select(...images), target }, never);
    t.false(output.writableEnded);
    output.end();
    return { bytes: await received, warnings };
  };
  const toFile = (images: readonly (RegistryImage | StoredImage)[], name: string, format?: ManyFormat) => {
    const target = { kind: 'file', target: join(directory, name), overwrite: false } as const;
    return exportImages(context, { selection: select(...images), format, target }, never);
  };
  return { ...context, directory, select, write, toFile };
}

/** A registry image whose layer no other has, and a manifest that is attached to it. */
async function putAttachedImage(store: Store, content: string) {
  const config = Buffer.from('{}');
  const layer = Buffer.from(`about ${content}`);
  const attached = asJson({
    schemaVersion: 2,
    mediaType: types.manifest,
    config: describe('application/vnd.oci.empty.v1+json', config),
    layers: [describe('text/plain', layer)],
  });
  for (const bytes of [config, layer, attached]) await putBytes(store, bytes);
  const prepared = await prepareRegistryImage(store, { content, layer: gzipSync(await buildTar([{ name: content }])) });
  const referrer: Referrer = {
    ...describe(types.manifest, attached),
    ...{ artifactType: 'text/plain', subject: prepared.manifest.digest },
  };
  return store.commitRegistryImage({
    ...prepared,
    blobs: [...prepared.blobs, ...[config, layer, attached].map(digestOf)],
    referrers: [referrer],
  });
}

/** An archive that is kept as it was transferred, with its signature. */
async function putKept(store: Store, name: string, signer = 'a'.repeat(40)) {
  const { bytes, tar, imageId, manifest } = await buildAci({ name, size: 2000, compress: 'gzip' });
  const [path, packed] = [store.temporaryPath(), store.temporaryPath()];
  await writeFile(path, tar);
  await writeFile(packed, bytes);
  const digest = digestOf(bytes);
  const proof = {
    kind: 'openpgp',
    bytes: Buffer.from(`${signer} signs`),
    digests: [Buffer.of(1)],
    covers: digest,
    signedBy: [signer],
  } as const;
  return store.commit({
    ...{ path, stamp: stampNow(path), manifest, proofs: [proof] },
    archive: { path: packed, stamp: stampNow(packed), digest, size: bytes.length, compression: 'gzip' },
    image: {
      ...{ imageId, name, labels: new Map(), size: tar.length, digest, source: `https://${name}.aci` },
      ...{ verified: [signer], weak: false, latest: true, dependencies: [] },
    },
  });
}

function jsonOf<T>(files: ReadonlyMap<string, Buffer>, name: string): T {
  return JSON.parse(String(files.get(name))) as T;
}

type Index = { readonly manifests: readonly { digest: string; annotations?: Readonly<Record<string, string>> }[] };

async function bundleIn(t: ExecutionContext, files: ReadonlyMap<string, Buffer>): Promise<Bundle> {
  const bytes = files.get('longshore/bundle.json') ?? Buffer.alloc(0);
  fits(t, bytes.toString());
  const parsed = parseBundle(bytes);
  if (!parsed.ok) throw new Error(parsed.problem);
  return Promise.resolve(parsed.bundle);
}

test('an OCI archive of many images has each under the name it was asked for by, manifests first, blobs that are shared once', async (t) => {
  const { store, write } = await open(t);
  const one = await putRegistryImage(store, { content: '1', reference: 'docker.io/library/x:1' });
  const two = await putRegistryImage(store, { content: '2', reference: 'localhost:5000/team/app:2' });
  const again = await putRegistryImage(store, { content: '1', reference: 'quay.io/x:1' });
  const other = await putAttachedImage(store, '3');
  const { bytes, warnings } = await write([two, one, other, again]);
  t.deepEqual(warnings, []);
  const files = await untar(bytes);
  const index = jsonOf<Index>(files, 'index.json');
  t.deepEqual(
    index.manifests.map(({ digest, annotations }) => [
      annotations?.['io.containerd.image.name'],
      annotations?.['org.opencontainers.image.ref.name'],
      digest,
    ]),
    [
      ...[other, one, two, again].map(({ reference, manifest }) => [reference, reference, manifest.digest]),
      [undefined, undefined, other.referrers?.[0]?.digest],
    ],
  );
  const listed = [...files.keys()];
  t.deepEqual(listed.slice(0, 2), ['oci-layout', 'index.json']);
  const documents = [one, two, other].map(({ manifest }) => manifest.digest);
  const first = [...documents, other.referrers?.[0]?.digest ?? ''].map((digest) => `blobs/sha256/${digest.slice(7)}`);
  t.deepEqual(listed.slice(2, 6), first.sort());
  t.deepEqual(listed.slice(6), listed.slice(6).toSorted());
  const all = new Set([one, two, other].flatMap(({ blobs }) => blobs));
  t.is(listed.length, 2 + all.size);
  for (const digest of all) t.is(digestOf(files.get(`blobs/sha256/${digest.slice(7)}`) ?? Buffer.alloc(0)), digest);
});

test('an index whose other manifests are missing is not in an OCI archive; its document is in a bundle, as is the manifest of docker', async (t) => {
  const { store, write } = await open(t);
  const index = asJson({ schemaVersion: 2, mediaType: types.index, manifests: [] });
  await putBytes(store, index);
  const prepared = await prepareRegistryImage(store, { content: 'x' });
  const docker = asJson({
    ...(JSON.parse(String(await readFile(store.digestPath(prepared.manifest.digest)))) as object),
    mediaType: 'docker',
  });
  await putBytes(store, docker);
  const image = await store.commitRegistryImage({
    ...prepared,
    ...{ manifest: describe('docker', docker), oci: prepared.manifest, index: describe(types.index, index) },
    reference: `docker.io/library/x@${digestOf(index)}`,
  });
  const archive = await untar((await write([image])).bytes);
  const name = `docker.io/library/x@${digestOf(docker)}`;
  t.like(jsonOf<Index>(archive, 'index.json').manifests, [
    { digest: prepared.manifest.digest, annotations: { 'io.containerd.image.name': name } },
  ]);
  t.is(archive.size, 2 + 3);

  const files = await untar((await write([image], { format: 'bundle' })).bytes);
  t.is(files.size, 3 + 5);
  for (const bytes of [index, docker]) t.deepEqual(files.get(`blobs/sha256/${digestOf(bytes).slice(7)}`), bytes);
  const [about] = (await bundleIn(t, files)).images;
  t.like(about, { reference: image.reference, manifest: image.manifest, oci: prepared.manifest, index: image.index });
});

test('an archive of docker has an entry for each image, with all its tags, and each layer once', async (t) => {
  const { store, write } = await open(t);
  const one = await putRegistryImage(store, { content: '1', reference: 'docker.io/library/x:1' });
  const again = await putRegistryImage(store, { content: '1', reference: 'docker.io/library/x:latest' });
  const two = await putRegistryImage(store, { content: '2', reference: 'quay.io/team/app:2' });
  const pinned = await putRegistryImage(store, { content: '3' });
  const digested = await putRegistryImage(store, {
    content: '3',
    reference: `quay.io/team/app@${pinned.manifest.digest}`,
  });
  const { bytes, warnings } = await write([two, again, digested, one], { format: 'docker-archive' });
  const files = await untar(bytes);
  const entries = jsonOf<readonly { Config: string; RepoTags: readonly string[]; Layers: readonly string[] }[]>(
    files,
    'manifest.json',
  );
  t.deepEqual(
    entries.map(({ RepoTags }) => RepoTags),
    [['docker.io/library/x:1', 'docker.io/library/x:latest'], ['quay.io/team/app:2'], []],
  );
  t.is([...files.keys()][0], 'manifest.json');
  t.is(files.size, 1 + 3 + 1, 'three configurations and one layer');
  for (const { Config, Layers } of entries) for (const name of [Config, ...Layers]) t.true(files.has(name), name);
  t.deepEqual(warnings, [`${digested.reference} has no tag, and no name in an archive of docker`]);
});

test('a bundle has archives too, as they were transferred if that is kept, and the bytes of all proofs', async (t) => {
  const { store, write } = await open(t);
  const kept = await putKept(store, 'example.com/kept');
  const plain = await putImage(store, { name: 'example.com/plain', size: 3000 });
  const cosign: Proof = {
    ...{ kind: 'cosign-key', bytes: Buffer.from('payload'), signature: 'c2ln', signedBy: ['key'], log: 'unchecked' },
    covers: digestOf(Buffer.from('x')),
  };
  const policy: Proof = { kind: 'policy', bytes: Buffer.from('/etc/policy.json'), covers: cosign.covers, signedBy: [] };
  const prepared = await prepareRegistryImage(store, { content: '1' });
  const image = await store.commitRegistryImage({ ...prepared, verified: ['key'], proofs: [cosign, policy] });
  const files = await untar((await write([plain, image, kept])).bytes);
  const bundle = await bundleIn(t, files);
  const signature = Buffer.from(`${'a'.repeat(40)} signs`);
  t.deepEqual(
    bundle.archives.map(({ imageId, transferred, proofs }) => [
      imageId,
      transferred,
      proofs.map(({ digest }) => digest),
    ]),
    [
      [kept.imageId, kept.archive?.size, [digestOf(signature)]],
      [plain.imageId, undefined, []],
    ].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)) as never,
  );
  t.like(bundle.images, [
    { reference: image.reference, proofs: [{ kind: 'cosign-key', digest: digestOf(cosign.bytes), signature: 'c2ln' }] },
  ]);
  t.deepEqual(files.get(`longshore/proofs/sha256/${digestOf(signature).slice(7)}`), signature);
  const proofs = [...files.keys()].filter((name) => name.startsWith('longshore/proofs/'));
  t.is(proofs.length, 2, 'the word of a policy is none');
  t.deepEqual([...files.keys()].slice(0, 5), ['oci-layout', 'index.json', 'longshore/bundle.json', ...proofs]);
  t.is(
    digestOf(files.get(`blobs/sha256/${kept.archive?.digest.slice(7)}`) ?? Buffer.alloc(0)),
    kept.archive?.digest as never,
  );
  t.is([...files.keys()].at(-1), `longshore/blobs/sha512/${plain.imageId.slice(7)}`);
  t.is(files.get(`longshore/blobs/sha512/${plain.imageId.slice(7)}`)?.length, plain.size);
  t.false(files.has(`longshore/blobs/sha512/${kept.imageId.slice(7)}`), 'an archive is there once');
});

test('the same images make the same bytes, whatever their order, also if they are compressed', async (t) => {
  const { store, write } = await open(t);
  const images = [
    await putRegistryImage(store, { content: '1' }),
    await putAttachedImage(store, '2'),
    await putImage(store, { name: 'example.com/a', size: 300_000 }),
    await putKept(store, 'example.com/b'),
  ];
  const { bytes } = await write(images);
  t.true((await write(images.toReversed())).bytes.equals(bytes));
  for (const [compress, decompress] of [
    ['gzip', gunzipSync],
    ['zstd', zstdDecompressSync],
  ] as const) {
    const packed = (await write(images, { compress })).bytes;
    t.true(decompress(packed).equals(bytes));
    t.true((await write(images.toReversed(), { compress })).bytes.equals(packed));
  }
});

test('what the other side has is left out, and named; what is verified only here is sent again, without its blobs', async (t) => {
  const { store, write } = await open(t);
  const [old, changed] = [
    await putRegistryImage(store, { content: '1' }),
    await putRegistryImage(store, { content: '2' }),
  ];
  const prepared = await prepareRegistryImage(store, { content: '3', layer: gzipSync('three') });
  const signed = await store.commitRegistryImage({ ...prepared, verified: ['key'] });
  const [known, fresh] = [
    await putImage(store, { name: 'example.com/a' }),
    await putImage(store, { name: 'example.com/b' }),
  ];
  const other: OtherSide = {
    images: new Map([
      [`${old.reference} ${old.manifest.digest}`, false],
      [`${changed.reference} ${old.manifest.digest}`, true],
      [`${signed.reference} ${signed.manifest.digest}`, false],
      [known.imageId, true],
    ]),
    documents: new Set([old.manifest.digest, signed.manifest.digest, digestOf(Buffer.from('unknown here'))]),
  };
  const { bytes } = await write([old, changed, signed, known, fresh], { other });
  const files = await untar(bytes);
  const bundle = await bundleIn(t, files);
  t.deepEqual(
    bundle.images.map(({ reference }) => reference),
    [changed.reference, signed.reference],
  );
  t.deepEqual(
    bundle.archives.map(({ imageId }) => imageId),
    [fresh.imageId],
  );
  const layer = digestOf(gzipSync(Buffer.alloc(1024))); // of both images that have none of their own
  const ofSigned = signed.blobs.filter((digest) => digest !== signed.manifest.digest);
  t.deepEqual(bundle.leftOut, [layer, ...ofSigned].sort() as never);
  for (const id of bundle.leftOut) t.false(files.has(`blobs/sha256/${id.slice(7)}`), id);
  t.true(files.has(`blobs/sha256/${signed.manifest.digest.slice(7)}`), 'so that the far side can judge at once');

  const empty = await write([old, known], { other });
  t.deepEqual(empty.warnings, ['the other side has all of the images: the bundle is empty']);
  const nothing = await untar(empty.bytes);
  t.deepEqual(await bundleIn(t, nothing), { archives: [], images: [], leftOut: [] });
});

for (const [kind, size] of [
  ['flip', 1000],
  ['flip', 300_000],
  ['cut', 300_000],
  ['unlink', 1000],
  ['unlink', 300_000],
] as const) {
  test(`after ${kind} of a blob of ${size} bytes no file is left, and a stream never has that blob whole`, async (t) => {
    const { store, pool, directory, select, toFile } = await open(t);
    const layer = Buffer.alloc(size, 'x');
    const image = await putRegistryImage(store, { layer });
    const archive = await putImage(store, { name: 'example.com/app', size });
    const path = store.digestPath(digestOf(layer));
    await damageFile(path, kind, 30);
    for (const format of ['oci-archive', 'docker-archive', 'bundle'] as const) {
      await t.throwsAsync(toFile([image], 'out.tar', format), { code: 'STORE_CORRUPT' }, format);
      const output = new PassThrough();
      const received = buffer(output);
      const request = { selection: select(image), format, target: { kind: 'stream', output } } as const;
      await t.throwsAsync(
        exportImages({ store, pool }, request, never),
        { code: 'STORE_CORRUPT', message: new RegExp(digestOf(layer)) },
        format,
      );
      output.end();
      const sent = await received.catch(() => Buffer.alloc(0));
      t.false(sent.subarray(-1024).equals(Buffer.alloc(1024)), 'the end of a tar');
    }
    await damageFile(store.blobPath(archive.imageId), kind, 30);
    await t.throwsAsync(toFile([archive], 'out.tar'), { code: 'STORE_CORRUPT' });
    t.deepEqual(await readdir(directory), []);
  });
}

test('a file is replaced only with overwrite, none is written into the store, and an export counts as use', async (t) => {
  const { store, pool, directory, select, toFile } = await open(t);
  const image = await putRegistryImage(store);
  await toFile([image], 'out.tar');
  t.is((await stat(join(directory, 'out.tar'))).mode & 0o7777, 0o644);
  await t.throwsAsync(toFile([image], 'out.tar'), { code: 'USAGE' });
  const into = { kind: 'file', target: join(store.dir, 'out.tar'), overwrite: true } as const;
  await t.throwsAsync(exportImages({ store, pool }, { selection: select(image), target: into }, never), {
    message: /is in the store/,
  });
  await mkdir(join(directory, 'folder'));
  await t.throwsAsync(toFile([image], 'folder'), { code: 'USAGE' });
  t.deepEqual((await readdir(directory)).sort(), ['folder', 'out.tar']);
});

test('a slow output never gets more than it accepts; one that fails ends the export with its error, an abort with its reason', async (t) => {
  const { store, pool, directory, select } = await open(t);
  const image = await putRegistryImage(store, { layer: Buffer.alloc(30_000_000, 'x') });
  let most = 0;
  const slow = new Writable({
    highWaterMark: 1024,
    write(_chunk, _encoding, done) {
      most = Math.max(most, this.writableLength);
      setImmediate(done);
    },
  });
  const selection = select(image);
  const to = (output: Writable) => ({ selection, target: { kind: 'stream', output } }) as const;
  await exportImages({ store, pool }, to(slow), never);
  t.true(most < 4_000_000, String(most));

  const failing = new Writable({ write: (_chunk, _encoding, done) => done(new Error('nobody reads')) });
  await t.throwsAsync(exportImages({ store, pool }, to(failing), never), { message: 'nobody reads' });

  const controller = new AbortController();
  const stuck = new Writable({ write: () => controller.abort(new Error('enough')) });
  await t.throwsAsync(exportImages({ store, pool }, to(stuck), controller.signal), { message: /aborted|enough/ });
  const target = { kind: 'file', target: join(directory, 'out.tar'), overwrite: false } as const;
  await t.throwsAsync(exportImages({ store, pool }, { selection, target }, controller.signal), {
    message: /aborted|enough/,
  });
  t.deepEqual(await readdir(directory), []);
});

test('no images make an archive of none', async (t) => {
  const { write } = await open(t);
  const [oci, docker] = [await write([]), await write([], { format: 'docker-archive' })];
  t.deepEqual([...(await untar(oci.bytes)).keys()], ['oci-layout', 'index.json']);
  t.deepEqual([...(await untar(docker.bytes)).keys()], ['manifest.json']);
});
