import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';

import test from 'ava';

import { exportToStream } from '../../src/images/export-stream.ts';
import { exportImage } from '../../src/images/export.ts';
import { openStore } from '../../src/store/open-store.ts';
import { damageFile } from '../helpers/damage.ts';
import { putImage, storeContext, temporaryDirectory } from '../helpers/stored.ts';

const never = new AbortController().signal;

test('the file is the uncompressed image of mode 0644, whose hash is the image ID (T98)', async (t) => {
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

test('a file that is there is replaced only with overwrite, anything else never', async (t) => {
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

test('a damaged blob is never exported: the target stays as it was and nothing is left beside it', async (t) => {
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
    await t.throwsAsync(exportToStream(context, image, output, never), { code: 'STORE_CORRUPT' }, damage);
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
  await exportToStream(context, image, output, never);
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

test('an abort ends an export at once and leaves nothing', async (t) => {
  const context = await storeContext(t);
  const image = await putImage(context.store, { name: 'example.com/app', size: 20_000_000 });
  const dir = await temporaryDirectory(t);
  const controller = new AbortController();
  const exporting = exportImage(context, { image, target: join(dir, 'app.aci'), overwrite: false }, controller.signal);
  setTimeout(() => controller.abort(new Error('enough')), 5);
  await t.throwsAsync(exporting, { message: /enough|aborted/ });
  t.deepEqual(await readdir(dir), []);
});

test('a store that is open for reading only exports as well', async (t) => {
  const context = await storeContext(t);
  const image = await putImage(context.store, { name: 'example.com/app' });
  await using store = await openStore({ dir: context.store.dir, readOnly: true });
  const target = join(await temporaryDirectory(t), 'app.aci');
  await exportImage({ ...context, store }, { image, target, overwrite: false }, never);
  t.is((await stat(target)).size, image.size);
});

test('what keeps a file from being written is said: no such directory, a file in its place, a name too long', async (t) => {
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

test('nothing of the store is replaced, nor anything put into it', async (t) => {
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
