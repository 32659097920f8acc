import { createWriteStream } from 'node:fs';
import { access, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { inspect } from 'node:util';

import test, { type ExecutionContext } from 'ava';

import { createFinder, createPusher, hasCode, openStore, type Store, type StoreOptions } from '../../src/index.ts';
import { buildAci } from '../helpers/archive.ts';
import { damageFile } from '../helpers/damage.ts';
import { openPublic } from '../helpers/public-store.ts';
import { startRegistry } from '../helpers/registry.ts';
import { layerOf } from '../helpers/registry-fetching.ts';

/** A store with an image that needs another, fetched from files, and a registry image as it was served. */
async function openFilled(t: ExecutionContext) {
  const { store, directory } = await openPublic(t);
  const base = await buildAci({ name: 'example.com/base', version: '1', files: { 'etc/base': 'base' } });
  const dependencies = [{ imageName: 'example.com/base', imageID: base.imageId }];
  const app = await buildAci({ name: 'example.com/app', version: '1', dependencies, files: { 'etc/app': 'app' } });
  const registry = await startRegistry(t);
  const { digest } = registry.putImage('team/app', '1', { layers: [await layerOf({ 'etc/layer': 'layer' })] });
  const reference = `docker://${registry.host}/team/app:1`;
  const paths = await Promise.all(
    [base, app].map(async ({ bytes, imageId }) => {
      const path = join(directory, `${imageId.slice(0, 20)}.aci`);
      await writeFile(path, bytes);
      return path;
    }),
  );
  await using finder = createFinder({
    store,
    insecure: { image: true },
    keep: 'oci',
    platform: ['linux/amd64'],
    workers: 1,
    retries: 0,
  });
  for (const image of [...paths, reference]) await finder.findImage(image);
  return { store, directory, base, app, registry: { reference, digest, host: registry.host } };
}

test('images are listed, found and shown: archives, and registry images as they were served', async (t) => {
  const { store, base, app, registry } = await openFilled(t);
  t.false(store.readOnly);
  const rows = await Array.fromAsync(store.images({ sort: 'name', order: undefined }));
  t.deepEqual(rows.map(({ imageID }) => imageID).sort(), [base.imageId, app.imageId, registry.digest].sort());
  const bySize = await Array.fromAsync(store.images({ sort: 'size', order: 'desc' }));
  t.true((bySize[0]?.size ?? 0) >= (bySize[1]?.size ?? Infinity));

  t.like(await store.image('example.com/app'), { imageID: app.imageId, labels: { version: '1' }, verified: false });
  t.like(await store.image(app.imageId.slice(0, 20)), { imageID: app.imageId });
  t.like(await store.image(registry.digest), { imageID: registry.digest, reference: `${registry.host}/team/app:1` });
  t.like(JSON.parse(await store.manifest(app.imageId)), { acKind: 'ImageManifest', name: 'example.com/app' });
  t.like(JSON.parse(await store.manifest(registry.reference)), { schemaVersion: 2 });
});

test('verify reads what is there, all or some of it, and names what is damaged', async (t) => {
  const { store, base, app, registry } = await openFilled(t);
  t.like(
    await store.verify(),
    { checked: 5, damaged: [] },
    'two images; a manifest, its configuration and a layer are blobs',
  );
  await damageFile(join(store.dir, 'blobs/sha512', base.imageId.slice('sha512-'.length)), 'flip');
  t.deepEqual((await store.verify()).damaged, [{ id: base.imageId, problem: 'wrong hash', images: [base.imageId] }]);
  t.deepEqual((await store.verify({ images: [app.imageId] })).damaged, []);
  t.true((await store.verify({ images: [registry.reference] })).checked > 1);

  const stopped = await t.throwsAsync(store.verify({ signal: AbortSignal.abort(new Error('enough')) }));
  t.true(hasCode(stopped, 'CANCELLED') && stopped.cause instanceof Error && stopped.cause.message === 'enough');
});

test('an image is exported to a file or a stream, whatever its format', async (t) => {
  const { store, directory, app, registry } = await openFilled(t);
  const to = join(directory, 'app.tar');
  await store.export('example.com/app', { to });
  t.true((await readFile(to)).equals(app.tar));
  const refused = await t.throwsAsync(store.export('example.com/app', { to }));
  t.true(hasCode(refused, 'USAGE'), String(refused));
  await store.export('example.com/app', { to, overwrite: true, format: 'aci', signal: undefined });

  const output = new PassThrough();
  const bytes = buffer(output);
  await store.export(registry.reference, { to: output, format: 'docker' });
  t.true(output.writable, 'it stays open');
  output.end();
  t.true((await bytes).includes('manifest.json'));
});

test('a stream that fails, or is closed, is OUTPUT_FAILED with its error as the cause', async (t) => {
  const { store, app, registry } = await openFilled(t);
  const full = Object.assign(new Error('write ENOSPC'), { code: 'ENOSPC' });
  const streams: readonly (readonly [make: () => Writable, details: object])[] = [
    [() => new PassThrough().destroy(), { output: 'the stream' }],
    [() => new PassThrough().end(), { output: 'the stream' }],
    [() => createWriteStream('/nonexistent/image'), { reason: 'ENOENT' }],
    [
      () => new Writable({ write: (_chunk, _encoding, callback) => void setTimeout(callback, 50, full) }),
      { reason: 'ENOSPC' },
    ],
    [() => new Writable({ write: (_chunk, _encoding, callback) => callback(full) }), { reason: 'ENOSPC' }],
    [
      () =>
        new Writable({
          write() {
            this.destroy();
          },
        }),
      { output: 'the stream' },
    ],
  ];
  for (const [make, details] of streams) {
    for (const [image, format] of [[app.imageId], [registry.reference, 'docker']] as const) {
      const error = await t.throwsAsync(store.export(image, { to: make(), format }));
      t.like(error, { code: 'OUTPUT_FAILED', details });
      t.true(error?.cause instanceof Error);
    }
  }
  const stopped = store.export(app.imageId, { to: new PassThrough(), signal: AbortSignal.abort(new Error('enough')) });
  await t.throwsAsync(stopped, { code: 'CANCELLED' });
});

test('nothing stays at a stream that images are exported to, which end when it has taken all', async (t) => {
  const { store, app, registry } = await openFilled(t);
  let taken = 0;
  const output = new Writable({
    highWaterMark: 1,
    write(chunk: Uint8Array, _encoding, callback) {
      setTimeout(() => callback(), 1);
      taken += chunk.length;
    },
  });
  const listeners = () => output.eventNames().map((name) => [name, output.listenerCount(name)]);
  const before = listeners();
  await store.export(app.imageId, { to: output });
  t.is(taken, app.tar.length);
  await store.export(registry.reference, { to: output, format: 'docker' });
  await t.throwsAsync(store.export('example.com/none', { to: output }), { code: 'NOT_IN_STORE' } as object);
  t.deepEqual(listeners(), before);
  t.true(output.writable);
});

test('what the store does not have is named without the query of its URL', async (t) => {
  const { store } = await openPublic(t);
  const url = 'http://a.example/app.aci?token=secret';
  await using pusher = createPusher({ store, workers: 1 });
  const calls: readonly (() => Promise<unknown>)[] = [
    () => store.image(url),
    () => store.verify({ images: [url] }),
    () => store.prune({ keep: [url] }),
    async () => {
      const { outcomes } = await pusher.pushImages([url], { to: 'docker://a.example' });
      throw outcomes[0]?.error ?? new Error('it was pushed');
    },
  ];
  for (const call of calls) {
    const error = await t.throwsAsync(call, { code: 'NOT_IN_STORE' } as object);
    t.like(error, { details: { asked: 'http://a.example/app.aci' } });
    t.notRegex(inspect(error), /secret/);
  }
});

test('an image is extracted, alone or with what it depends on', async (t) => {
  const { store, directory, app } = await openFilled(t);
  const alone = join(directory, 'alone');
  t.like(await store.extract(app.imageId, { to: alone }), { skipped: { count: 0 } });
  t.deepEqual((await readdir(alone)).sort(), ['manifest', 'rootfs']);
  t.is(await readFile(join(alone, 'rootfs/etc/app'), 'utf8'), 'app');
  t.true(hasCode(await t.throwsAsync(store.extract(app.imageId, { to: alone })), 'USAGE'));

  const rendered = join(directory, 'rendered');
  await store.extract(app.imageId, { to: rendered, withDeps: true, rootfsOnly: true });
  t.is(await readFile(join(rendered, 'etc/base'), 'utf8'), 'base');
});

test('images are removed, and garbage collected', async (t) => {
  const { store, base, app, registry } = await openFilled(t);
  const blob = join(store.dir, 'blobs/sha512', app.imageId.slice('sha512-'.length));
  t.like(await store.remove('example.com/app'), [{ imageID: app.imageId }]);
  await t.throwsAsync(access(blob), { code: 'ENOENT' });
  t.true(hasCode(await t.throwsAsync(store.image(app.imageId)), 'NOT_IN_STORE'));

  t.like(await store.collectGarbage(), { images: [], blobs: 0 });
  const planned = await store.collectGarbage({ unusedForMs: 0, dryRun: true });
  const ids = [base.imageId, registry.digest].sort();
  t.deepEqual(planned.images.map(({ imageID }) => imageID).sort(), ids);
  t.is((await Array.fromAsync(store.images())).length, 2, 'a dry run removes nothing');
  const report = await store.collectGarbage({ unusedForMs: 0, partialsOlderThanMs: undefined });
  t.deepEqual(report.images.map(({ imageID }) => imageID).sort(), ids);
  t.true(report.bytes > 0);
  t.deepEqual(await Array.fromAsync(store.images()), []);
});

test('a prune leaves what references stand for and need', async (t) => {
  const { store, base, app, registry } = await openFilled(t);
  const left = async () => (await Array.fromAsync(store.images())).map(({ imageID }) => imageID).sort();
  const all = [base.imageId, app.imageId, registry.digest].sort();
  t.true(hasCode(await t.throwsAsync(store.prune({ keep: [] })), 'USAGE'));
  t.true(hasCode(await t.throwsAsync(store.prune({ keep: [app.imageId, 'example.com/none'] })), 'NOT_IN_STORE'));
  t.true(hasCode(await t.throwsAsync(store.prune({ keep: ['ftp://x/y'] })), 'REFERENCE_INVALID'));
  const stopped = store.prune({ keep: [app.imageId], signal: AbortSignal.abort() });
  t.true(hasCode(await t.throwsAsync(stopped), 'CANCELLED'));
  const planned = await store.prune({ keep: [app.imageId], dryRun: true });
  t.like(planned, { images: [{ imageID: registry.digest }], kept: 2 });
  t.deepEqual(await left(), all, 'nothing has been removed so far');

  const report = await store.prune({ keep: [app.imageId] });
  t.like(report, { images: [{ imageID: registry.digest }], kept: 2 });
  t.true(report.bytes > 0);
  t.deepEqual(await left(), [base.imageId, app.imageId].sort());
  t.is((await store.prune({ keep: [], removesAll: true })).images.length, 2);
  t.deepEqual(await left(), []);
});

test('what a store is given is checked', async (t) => {
  const { store, directory } = await openPublic(t);
  const any = (value: unknown) => value as never;
  const to = join(directory, 'x');
  const calls: readonly (readonly [option: string, call: () => Promise<unknown>])[] = [
    ['dir', () => openStore({} as StoreOptions)],
    ['dir', () => openStore({ dir: 'store' })],
    ['readOnly', () => openStore({ dir: to, readOnly: any('yes') })],
    ['readonly', () => openStore(any({ dir: to, readonly: true }))],
    ['sort', () => Array.fromAsync(store.images({ sort: any('age') }))],
    ['order', () => Array.fromAsync(store.images({ order: any('up') }))],
    ['image', () => store.image(any(5))],
    ['image', () => store.manifest(any(undefined))],
    ['image', () => store.remove(any(['x']))],
    ['images', () => store.verify({ images: any('x') })],
    ['signal', () => store.verify({ signal: any(5) })],
    ['to', () => store.export('x', any({}))],
    ['to', () => store.export('x', { to: 'relative' })],
    ['format', () => store.export('x', { to, format: any('zip') })],
    ['to', () => store.extract('x', any({}))],
    ['to', () => store.extract('x', { to: 'relative' })],
    ['limits.entries', () => store.extract('x', { to, limits: { entries: 0 } })],
    ['unusedForMs', () => store.collectGarbage({ unusedForMs: -1 })],
    ['partialsOlderThanMs', () => store.collectGarbage({ partialsOlderThanMs: 0.5 })],
    ['dryrun', () => store.collectGarbage(any({ dryrun: true }))],
    ['keep', () => store.prune(any({}))],
    ['keep', () => store.prune({ keep: any('x') })],
  ];
  for (const [option, call] of calls) {
    const error = await t.throwsAsync(call, undefined, option);
    t.true(hasCode(error, 'USAGE') && error.details.option === option, `${option}: ${String(error)}`);
  }
});

test('a store that is opened with readOnly answers, and is not written', async (t) => {
  const { store, app } = await openFilled(t);
  await using reader: Store = await openStore({ dir: store.dir, readOnly: true });
  t.true(reader.readOnly);
  t.like(await reader.image(app.imageId), { name: 'example.com/app' });
  t.true(hasCode(await t.throwsAsync(reader.remove(app.imageId)), 'STORE_READ_ONLY'));
  t.true(hasCode(await t.throwsAsync(reader.collectGarbage()), 'STORE_READ_ONLY'));
});
