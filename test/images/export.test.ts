import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';

import test, { type ExecutionContext } from 'ava';

import {
  exportImage,
  exportRegistryImage,
  exportRegistryImageToStream,
  exportToStream,
} from '../../src/images/export.ts';
import type { RegistryFormat } from '../../src/images/registry-layout.ts';
import { openStore } from '../../src/store/open-store.ts';
import { damageFile } from '../helpers/damage.ts';
import { asJson, describe, digestOf, putBytes, putRegistryImage } from '../helpers/registry-image.ts';
import { storeContext } from '../helpers/store-context.ts';
import { putImage, temporaryDirectory } from '../helpers/stored.ts';
import { untar } from '../helpers/untar.ts';

const never = new AbortController().signal;

test('the file is the uncompressed image with mode 0644, whose hash is the image ID', async (t) => {
  const context = await storeContext(t);
  const image = await putImage(context.store, { name: 'example.com/app', size: 3_000_000, compress: 'gzip' });
  const dir = await temporaryDirectory(t);
  const target = join(dir, 'app.aci');
  await exportImage(context, { image, target, overwrite: false }, never);
  t.is(
    `sha512-${createHash('sha512')
      .update(await readFile(target))
      .digest('hex')}`,
    image.imageId,
  );
  t.is((await stat(target)).mode & 0o7777, 0o644);
  t.deepEqual(await readdir(dir), ['app.aci']);
});

test('an existing file is replaced only with overwrite, anything else never', async (t) => {
  const context = await storeContext(t);
  const image = await putImage(context.store, { name: 'example.com/app' });
  const dir = await temporaryDirectory(t);
  const [file, folder] = [join(dir, 'app.aci'), join(dir, 'folder')];
  await writeFile(file, 'mine');
  await mkdir(folder);
  await symlink(folder, join(dir, 'link'));
  await t.throwsAsync(exportImage(context, { image, target: file, overwrite: false }, never), { code: 'USAGE' });
  t.is(await readFile(file, 'utf8'), 'mine');
  for (const target of [folder, join(dir, 'link'), '/dev/null']) {
    await t.throwsAsync(exportImage(context, { image, target, overwrite: true }, never), { code: 'USAGE' }, target);
  }
  await exportImage(context, { image, target: file, overwrite: true }, never);
  t.is((await stat(file)).size, image.size);
  t.deepEqual((await readdir(dir)).sort(), ['app.aci', 'folder', 'link']);
});

test('a damaged blob is never exported: the target stays unchanged, and nothing is left next to it', async (t) => {
  const context = await storeContext(t);
  const { store } = context;
  const dir = await temporaryDirectory(t);
  const target = join(dir, 'app.aci');
  await writeFile(target, 'before');
  for (const damage of ['flip', 'cut', 'unlink'] as const) {
    const image = await putImage(store, { name: `example.com/${damage}`, size: 10_000 });
    await damageFile(store.blobPath(image.imageId), damage);
    await t.throwsAsync(
      exportImage(context, { image, target, overwrite: true }, never),
      { code: 'STORE_CORRUPT' },
      damage,
    );
    const output = new PassThrough();
    await t.throwsAsync(exportToStream(context, { image, output }, never), { code: 'STORE_CORRUPT' }, damage);
    output.end();
    t.is((await buffer(output)).length, 0);
  }
  t.is(await readFile(target, 'utf8'), 'before');
  t.deepEqual(await readdir(dir), ['app.aci']);
});

test('a stream gets every byte and stays open', async (t) => {
  const context = await storeContext(t);
  const image = await putImage(context.store, { name: 'example.com/app', size: 3_000_000 });
  const output = new PassThrough();
  const received = buffer(output);
  await exportToStream(context, { image, output }, never);
  t.false(output.writableEnded);
  output.end();
  t.is(
    `sha512-${createHash('sha512')
      .update(await received)
      .digest('hex')}`,
    image.imageId,
  );
});

test('an export counts as use', async (t) => {
  const context = await storeContext(t);
  const image = await putImage(context.store, { name: 'example.com/app' });
  await exportImage(context, { image, target: join(await temporaryDirectory(t), 'app.aci'), overwrite: false }, never);
  await context.store.close(); // which writes down what was used
  await using store = await openStore({ dir: context.store.dir, readOnly: true });
  t.true(((await store.getImage(image.imageId))?.lastUsedAtMs ?? 0) > image.lastUsedAtMs);
});

test('an abort ends an export at once, and nothing is left', async (t) => {
  const context = await storeContext(t);
  const image = await putImage(context.store, { name: 'example.com/app', size: 20_000_000 });
  const dir = await temporaryDirectory(t);
  const controller = new AbortController();
  const exporting = exportImage(context, { image, target: join(dir, 'app.aci'), overwrite: false }, controller.signal);
  setImmediate(() => controller.abort(new Error('enough')));
  await t.throwsAsync(exporting, { message: /enough|aborted/ });
  t.deepEqual(await readdir(dir), []);
});

test('images can be exported from a read-only store', async (t) => {
  const context = await storeContext(t);
  const image = await putImage(context.store, { name: 'example.com/app' });
  await using store = await openStore({ dir: context.store.dir, readOnly: true });
  const target = join(await temporaryDirectory(t), 'app.aci');
  await exportImage({ ...context, store }, { image, target, overwrite: false }, never);
  t.is((await stat(target)).size, image.size);
});

test('errors are reported by their cause: no such directory, a file in its place, a name too long', async (t) => {
  const context = await storeContext(t);
  const image = await putImage(context.store, { name: 'example.com/app' });
  const dir = await temporaryDirectory(t);
  await writeFile(join(dir, 'file'), '');
  const into = (...path: string[]) =>
    exportImage(context, { image, target: join(dir, ...path), overwrite: false }, never);
  await t.throwsAsync(into('none', 'app.aci'), { code: 'FILE_NOT_FOUND' });
  await t.throwsAsync(into('file', 'app.aci'), { code: 'FILE_UNREADABLE', message: /ENOTDIR/ });
  await t.throwsAsync(into('x'.repeat(256)), { code: 'FILE_UNREADABLE', message: /ENAMETOOLONG/ });
  await into('y'.repeat(255));
});

test('no file of the store is replaced, and none is written into it', async (t) => {
  const context = await storeContext(t);
  const image = await putImage(context.store, { name: 'example.com/app' });
  const { dir } = context.store;
  const before = await readdir(dir);
  for (const path of ['index.sqlite', 'new.aci', 'blobs/new.aci']) {
    const request = { image, target: join(dir, path), overwrite: true };
    await t.throwsAsync(exportImage(context, request, never), { code: 'USAGE', message: /is in the store/ }, path);
  }
  t.deepEqual(await readdir(dir), before);
});

async function context(t: ExecutionContext) {
  const stored = await storeContext(t);
  const dir = await temporaryDirectory(t);
  const write = (image: Parameters<typeof exportRegistryImage>[1]['image'], format: RegistryFormat, name = 'out.tar') =>
    exportRegistryImage(stored, { image, format, target: join(dir, name), overwrite: false }, never);
  return { ...stored, dir, write };
}

test('an OCI archive is a layout of one image under its reference, without its index, with all blobs unchanged', async (t) => {
  const { store, dir, write } = await context(t);
  await putRegistryImage(store, { content: 'another' });
  const index = asJson({ manifests: [] });
  await putBytes(store, index);
  const image = await putRegistryImage(store, {
    content: '1',
    layer: Buffer.alloc(3_000_000, 'layer'),
    index: describe('application/vnd.oci.image.index.v1+json', index),
  });
  await write(image, 'oci');
  const files = await untar(await readFile(join(dir, 'out.tar')));
  const expected = image.blobs.filter((digest) => digest !== digestOf(index)).map((digest) => digest.slice(7));
  t.deepEqual(
    [...files.keys()].sort(),
    [...expected.map((hex) => `blobs/sha256/${hex}`), 'index.json', 'oci-layout'].sort(),
  );
  for (const hex of expected) t.is(digestOf(files.get(`blobs/sha256/${hex}`) ?? Buffer.alloc(0)).slice(7), hex);
  t.deepEqual(JSON.parse(String(files.get('index.json'))), {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [
      {
        ...image.manifest,
        platform: { os: 'linux', architecture: 'amd64' },
        annotations: {
          'org.opencontainers.image.ref.name': image.reference,
          'io.containerd.image.name': image.reference,
        },
      },
    ],
  });
  t.is((await stat(join(dir, 'out.tar'))).mode & 0o7777, 0o644);
});

test('an OCI archive has the manifest that was derived from a docker manifest', async (t) => {
  const { store, dir, write } = await context(t);
  const [config, layer] = [asJson({ os: 'linux' }), Buffer.from('layer')];
  const manifestOf = (mediaType: string) =>
    asJson({ mediaType, config: describe('config', config), layers: [describe('layer', layer)] });
  const [docker, oci] = [manifestOf('docker'), manifestOf('oci')];
  for (const bytes of [config, layer, docker, oci]) await putBytes(store, bytes);
  const image = await putRegistryImage(store, {
    manifest: describe('docker', docker),
    oci: describe('oci', oci),
    platform: { os: '', architecture: '' },
    blobs: [config, layer].map(digestOf),
  });
  await write(image, 'oci');
  const files = await untar(await readFile(join(dir, 'out.tar')));
  const { manifests } = JSON.parse(String(files.get('index.json'))) as { manifests: readonly object[] };
  t.like(manifests[0], { digest: digestOf(oci), platform: undefined });
  t.deepEqual(
    [...files.keys()].slice(2),
    [oci, config, layer].map((bytes) => `blobs/sha256/${digestOf(bytes).slice(7)}`),
  );
});

test('a docker archive has the configuration, the layers in order, each file once, and the tag', async (t) => {
  const { store, dir, write } = await context(t);
  const [one, two] = [Buffer.from('layer one'), Buffer.from('layer two')];
  const config = asJson({ os: 'linux' });
  const layers = [one, two, one].map((bytes) => describe('application/vnd.oci.image.layer.v1.tar+gzip', bytes));
  const manifest = asJson({ config: describe('application/vnd.oci.image.config.v1+json', config), layers });
  for (const bytes of [one, two, config, manifest]) await putBytes(store, bytes);
  const about = { manifest: describe('m', manifest), blobs: [one, two, config].map(digestOf) };
  const tagged = await putRegistryImage(store, { ...about, reference: 'docker.io/library/app:1.0' });
  const pinned = await putRegistryImage(store, { ...about, reference: `docker.io/library/app@${digestOf(manifest)}` });

  await write(tagged, 'docker');
  const files = await untar(await readFile(join(dir, 'out.tar')));
  const names = [one, two].map((bytes) => `${digestOf(bytes).slice(7)}.tar`);
  const configName = `${digestOf(config).slice(7)}.json`;
  t.deepEqual([...files.keys()], ['manifest.json', configName, ...names]);
  t.deepEqual(JSON.parse(String(files.get('manifest.json'))), [
    { Config: configName, RepoTags: ['docker.io/library/app:1.0'], Layers: [...names, names[0]] },
  ]);
  await write(pinned, 'docker', 'pinned.tar');
  const other = await untar(await readFile(join(dir, 'pinned.tar')));
  t.like(JSON.parse(String(other.get('manifest.json'))), [{ RepoTags: [] }]);
});

test('the same image makes the same archive, to a file and to a stream, which stays open', async (t) => {
  const { store, pool, dir, write } = await context(t);
  const image = await putRegistryImage(store, { layer: Buffer.alloc(2_000_000, 'x') });
  for (const format of ['oci', 'docker'] as const) {
    await write(image, format, format);
    const output = new PassThrough();
    const received = buffer(output);
    await exportRegistryImageToStream({ store, pool }, { image, format, output }, never);
    t.false(output.writableEnded);
    output.end();
    t.is(hash(await received), hash(await readFile(join(dir, format))));
  }
});

for (const kind of ['flip', 'cut', 'unlink'] as const) {
  test(`after ${kind} of any blob nothing is exported, and nothing is left`, async (t) => {
    const { store, pool, dir, write } = await context(t);
    const image = await putRegistryImage(store, { content: kind, layer: Buffer.alloc(500) });
    for (const digest of image.blobs) {
      const path = store.digestPath(digest);
      const good = await readFile(path);
      await damageFile(path, kind, 30);
      for (const format of ['oci', 'docker'] as const) {
        await t.throwsAsync(write(image, format), { code: 'STORE_CORRUPT' }, format);
        const output = new PassThrough();
        const request = { image, format, output };
        await t.throwsAsync(exportRegistryImageToStream({ store, pool }, request, never), { code: 'STORE_CORRUPT' });
        t.is(output.readableLength, 0);
      }
      await writeFile(path, good);
    }
    t.deepEqual(await readdir(dir), []);
    await write(image, 'oci');
  });
}

test('a slow output never gets more than it accepts', async (t) => {
  const { store, pool } = await context(t);
  const image = await putRegistryImage(store, { layer: Buffer.alloc(30_000_000, 'x') });
  let most = 0;
  const output = new Writable({
    highWaterMark: 1024,
    write(_chunk, _encoding, done) {
      most = Math.max(most, this.writableLength);
      setImmediate(done);
    },
  });
  await exportRegistryImageToStream({ store, pool }, { image, format: 'oci', output }, never);
  t.true(most < 4_000_000, String(most));
});

test('an output that fails ends the export with its error, an abort with its reason', async (t) => {
  const { store, pool, dir } = await context(t);
  const image = await putRegistryImage(store, { layer: Buffer.alloc(5_000_000, 'x') });
  const output = new Writable({ write: (_chunk, _encoding, done) => done(new Error('nobody reads')) });
  const request = { image, format: 'docker', output } as const;
  await t.throwsAsync(exportRegistryImageToStream({ store, pool }, request, never), { message: 'nobody reads' });

  const stuck = new Writable({ write: () => undefined });
  const late = { image, format: 'oci', output: stuck } as const;
  const soon = new AbortController();
  setTimeout(() => soon.abort(), 200); // not AbortSignal.timeout, which would not keep the process alive
  await t.throwsAsync(exportRegistryImageToStream({ store, pool }, late, soon.signal), { message: /aborted/ });

  const aborted = AbortSignal.abort(new Error('enough'));
  const target = { image, format: 'oci', target: join(dir, 'out.tar'), overwrite: false } as const;
  await t.throwsAsync(exportRegistryImage({ store, pool }, target, aborted), { message: /enough|aborted/ });
  t.deepEqual(await readdir(dir), []);
});

test('a target is replaced only with overwrite, and an export counts as use', async (t) => {
  const { store, pool, dir, write } = await context(t);
  const image = await putRegistryImage(store);
  await writeFile(join(dir, 'out.tar'), 'mine');
  await mkdir(join(dir, 'folder'));
  await t.throwsAsync(write(image, 'oci'), { code: 'USAGE' });
  await t.throwsAsync(write(image, 'oci', 'folder'), { code: 'USAGE' });
  t.is(await readFile(join(dir, 'out.tar'), 'utf8'), 'mine');
  const target = { image, format: 'oci', target: join(dir, 'out.tar'), overwrite: true } as const;
  await exportRegistryImage({ store, pool }, target, never);
  await store.close();
  await using reader = await openStore({ dir: store.dir, readOnly: true });
  t.true(((await reader.findRegistryImage(image.reference))?.lastUsedAtMs ?? 0) > image.lastUsedAtMs);
});

function hash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
