import { lstat, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { parseBundle } from '../../src/bundle/parse-bundle.ts';
import { exportImages } from '../../src/export/export-images.ts';
import type { RegistryImage } from '../../src/store/registry-store.ts';
import type { StoredImage } from '../../src/store/store.ts';
import { damageFile } from '../helpers/damage.ts';
import { digestOf, namesInIndex, putRegistryImage } from '../helpers/registry-image.ts';
import { storeContext } from '../helpers/store-context.ts';
import { putImage, temporaryDirectory } from '../helpers/stored.ts';

const never = new AbortController().signal;

async function open(t: ExecutionContext) {
  const context = await storeContext(t);
  const directory = await temporaryDirectory(t);
  const layout = join(directory, 'layout');
  const write = (images: readonly RegistryImage[], overwrite = false, target = layout) =>
    exportImages(
      context,
      { selection: { images, archives: [] }, target: { kind: 'directory', target, overwrite } },
      never,
    );
  const bundle = (archives: readonly StoredImage[]) => {
    const target = { kind: 'directory', target: layout, overwrite: false } as const;
    return exportImages(context, { selection: { images: [], archives }, target }, never);
  };
  const blobs = () => readdir(join(layout, 'blobs/sha256'));
  return { ...context, directory, layout, write, bundle, blobs };
}

test('a directory becomes an OCI layout of readable files; with overwrite it takes the place of what was there', async (t) => {
  const { store, directory, layout, write, blobs } = await open(t);
  const image = await putRegistryImage(store);
  await write([image]);
  t.deepEqual((await readdir(layout)).sort(), ['blobs', 'index.json', 'oci-layout']);
  t.deepEqual((await blobs()).sort(), image.blobs.map((digest) => digest.slice(7)).sort());
  t.deepEqual(
    await Promise.all([layout, join(layout, 'index.json')].map(async (path) => (await stat(path)).mode & 0o777)),
    [0o755, 0o644],
  );
  await writeFile(join(layout, 'old'), '');
  await write([image], true);
  t.false((await readdir(layout)).includes('old'));
  t.deepEqual(await readdir(directory), ['layout']);
});

test('images are added to a layout that is there: its own images, those of other tools and its other members stay', async (t) => {
  const { store, layout, write, blobs } = await open(t);
  const [one, two] = [await putRegistryImage(store, { content: '1' }), await putRegistryImage(store, { content: '2' })];
  await write([one]);
  const index = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as { manifests: object[] };
  const foreign = { mediaType: 'm', digest: digestOf(Buffer.from('x')), size: 1, annotations: { a: 'b' } };
  await writeFile(
    join(layout, 'index.json'),
    JSON.stringify({ ...index, annotations: { mine: '1' }, manifests: [...index.manifests, foreign] }),
  );
  const blob = join(layout, 'blobs/sha256', one.blobs[0]?.slice(7) ?? '');
  const before = await lstat(blob);
  await write([one, two]);
  t.is((await lstat(blob)).ino, before.ino, 'what is there is not written again');
  t.deepEqual(
    (await blobs()).sort(),
    [...new Set([...one.blobs, ...two.blobs])].map((digest) => digest.slice(7)).sort(),
  );
  const after = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as {
    manifests: object[];
    annotations: object;
  };
  t.deepEqual(after.annotations, { mine: '1' });
  t.deepEqual(after.manifests[0], foreign);
  t.deepEqual(await namesInIndex(layout), [one.reference, two.reference, undefined]);

  const moved = await putRegistryImage(store, { content: '3', reference: one.reference });
  await write([moved]);
  t.deepEqual(await namesInIndex(layout), [one.reference, two.reference, undefined], 'a name stands for one image');
  t.deepEqual((await readdir(layout)).sort(), ['blobs', 'index.json', 'oci-layout']);
});

test('a blob there that is damaged is written again; one of the store that is damaged is not added, and index.json stays', async (t) => {
  const { store, layout, write } = await open(t);
  const one = await putRegistryImage(store, { content: '1', layer: Buffer.alloc(5000) });
  await write([one]);
  const blob = join(layout, 'blobs/sha256', digestOf(Buffer.alloc(5000)).slice(7));
  await damageFile(blob, 'flip', 30);
  await write([one]);
  t.is(digestOf(await readFile(blob)), digestOf(Buffer.alloc(5000)));

  const two = await putRegistryImage(store, { content: '2', layer: Buffer.from('two') });
  await damageFile(store.digestPath(digestOf(Buffer.from('two'))), 'cut');
  const before = await readFile(join(layout, 'index.json'));
  await t.throwsAsync(write([two]), { code: 'STORE_CORRUPT' });
  t.deepEqual(await readFile(join(layout, 'index.json')), before);
  t.deepEqual((await readdir(layout)).sort(), ['blobs', 'index.json', 'oci-layout']);
});

test('a bundle is a directory too, and grows as one', async (t) => {
  const { store, layout, bundle, write } = await open(t);
  const [one, two] = [
    await putImage(store, { name: 'example.com/a' }),
    await putImage(store, { name: 'example.com/b' }),
  ];
  const listed = async (): Promise<readonly string[]> => {
    const parsed = parseBundle(await readFile(join(layout, 'longshore/bundle.json')));
    return parsed.ok ? parsed.bundle.archives.map(({ name }) => name).sort() : [parsed.problem];
  };
  await bundle([one]);
  t.deepEqual(await listed(), ['example.com/a']);
  await bundle([two, one]);
  t.deepEqual(await listed(), ['example.com/a', 'example.com/b']);
  t.is((await readdir(join(layout, 'longshore/blobs/sha512'))).length, 2);
  await write([await putRegistryImage(store)]);
  t.deepEqual(await listed(), ['example.com/a', 'example.com/b']);
  await writeFile(join(layout, 'longshore/bundle.json'), '{}');
  await t.throwsAsync(bundle([one]), { code: 'USAGE', message: /bundle.json cannot be added to/ });
});

test('nothing is added to what is no layout, nor to a store, which it is not written into either', async (t) => {
  const { store, directory, layout, write } = await open(t);
  const image = await putRegistryImage(store);
  await mkdir(layout);
  await writeFile(join(layout, 'mine'), '');
  await t.throwsAsync(write([image]), { code: 'USAGE', message: /is no OCI image layout/ });
  await writeFile(join(layout, 'oci-layout'), '{"imageLayoutVersion":"2.0.0"}');
  await t.throwsAsync(write([image]), { code: 'USAGE', message: /is no OCI image layout/ });
  await writeFile(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(join(layout, 'index.json'), '[]');
  await t.throwsAsync(write([image]), { code: 'USAGE', message: /is no index/ });
  t.true((await readdir(layout)).includes('mine'));
  await t.throwsAsync(write([image], false, store.dir), { code: 'USAGE', message: /is in the store|holds the store/ });
  await t.throwsAsync(write([image], false, join(store.dir, 'new')), { code: 'USAGE', message: /is in the store/ });
  const other = await storeContext(t);
  await t.throwsAsync(write([image], false, other.store.dir), { code: 'USAGE', message: /is a store/ });
  await writeFile(join(directory, 'file'), '');
  await t.throwsAsync(write([image], false, join(directory, 'file')), { code: 'USAGE' });
  await symlink(layout, join(directory, 'link'));
  await t.throwsAsync(write([image], true, join(directory, 'link')), { code: 'USAGE' });
});
