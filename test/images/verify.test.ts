import { access, copyFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import test from 'ava';
import fc from 'fast-check';

import { hasCode } from '../../src/errors.ts';
import { exportImage } from '../../src/images/export.ts';
import type { Entry } from '../../src/images/list.ts';
import { verifyImages } from '../../src/images/verify.ts';
import type { Repair } from '../../src/images/verify-blobs.ts';
import type { StoredImage } from '../../src/store/store.ts';
import { damageFile } from '../helpers/damage.ts';
import { storeContext } from '../helpers/store-context.ts';
import { putImage, temporaryDirectory } from '../helpers/stored.ts';

const never = new AbortController().signal;
/** Raise it for a long run. */
const flips = Number(process.env['LONGSHORE_FLIPS'] ?? 30);
type Context = Awaited<ReturnType<typeof storeContext>>;

test('a sound store has nothing to report', async (t) => {
  const context = await storeContext(t);
  const images = await putSome(context, 5);
  t.deepEqual(await verify(context), {
    checked: 5,
    checkedBlobs: 0,
    checkedArchives: 0,
    bytes: images.reduce((sum, { size }) => sum + size, 0),
    damaged: [],
    unreferenced: 0,
    ociIndexSetAside: false,
  });
});

test('changed, truncated and missing blobs are found and named, in the order of the images', async (t) => {
  const context = await storeContext(t);
  const [a, , c, , e] = await putSome(context, 5);
  if (!a || !c || !e) return t.fail();
  await damageFile(context.store.blobPath(e.imageId), 'flip');
  await damageFile(context.store.blobPath(c.imageId), 'unlink');
  await damageFile(context.store.blobPath(a.imageId), 'cut');
  const { checked, damaged } = await verify(context);
  t.is(checked, 5);
  t.deepEqual(
    damaged.map((damage) => [damage.kind === 'image' && damage.image.imageId, damage.problem, damage.repaired]),
    [
      [a.imageId, 'wrong size', false],
      [c.imageId, 'missing', false],
      [e.imageId, 'wrong hash', false],
    ],
  );
});

test('any single changed byte of a blob is found, and the blob is not exported', async (t) => {
  const context = await storeContext(t);
  const image = await putImage(context.store, { name: 'example.com/app', size: 3000 });
  const path = context.store.blobPath(image.imageId);
  const dir = await temporaryDirectory(t);
  const good = join(dir, 'good');
  await copyFile(path, good);
  const flip = fc.asyncProperty(fc.nat(image.size - 1), async (at) => {
    await damageFile(path, 'flip', at);
    const { damaged } = await verify(context);
    const target = join(dir, 'out');
    const exported = await exportImage(context, { image, target, overwrite: true }, never).then(
      () => 'exported',
      (error: unknown) => (hasCode(error, 'STORE_CORRUPT') ? 'refused' : 'failed'),
    );
    await copyFile(good, path);
    return damaged[0]?.problem === 'wrong hash' && exported === 'refused';
  });
  await fc.assert(flip, { numRuns: flips });
  t.deepEqual((await verify(context)).damaged, []);
});

test('files that no image refers to are counted, and a repair leaves them to gc', async (t) => {
  const context = await storeContext(t);
  const [image] = await putSome(context, 1);
  if (!image) return t.fail();
  const loose = join(dirname(context.store.blobPath(image.imageId)), 'f'.repeat(128));
  await writeFile(loose, 'nobody needs this');
  t.is((await verify(context)).unreferenced, 1);
  await access(loose);
  t.is((await verify(context, { nowMs: Date.now() })).unreferenced, 1);
  t.is((await verify(context)).unreferenced, 1);
  await context.store.collect({ nowMs: Date.now(), partialsOlderThanMs: Infinity });
  t.is((await verify(context)).unreferenced, 0);
  await access(context.store.blobPath(image.imageId));
});

test('a repair unlists a damaged image, and reports it as not repaired', async (t) => {
  const context = await storeContext(t);
  const [bad, good] = await putSome(context, 2);
  if (!bad || !good) return t.fail();
  await damageFile(context.store.blobPath(bad.imageId), 'flip');
  const { damaged } = await verify(context, { nowMs: Date.now() });
  t.deepEqual(
    damaged.map((damage) => [damage.kind === 'image' && damage.image.imageId, damage.repaired]),
    [[bad.imageId, false]],
  );
  t.is(await context.store.getImage(bad.imageId), undefined);
  t.like(await verify(context), { checked: 1, bytes: good.size, damaged: [], unreferenced: 0 });
});

test('an image that was fetched again and is sound counts as repaired; one that only claims to be does not', async (t) => {
  const context = await storeContext(t);
  const options = { name: 'example.com/app', size: 9000 };
  const bad = await putImage(context.store, options);
  const path = context.store.blobPath(bad.imageId);

  await damageFile(path, 'flip');
  const refetch = async (entry: Entry): Promise<boolean> => {
    t.is(entry.kind === 'image' && (await context.store.getImage(entry.id)), undefined); // or it would pass for a hit
    await putImage(context.store, options);
    return true;
  };
  const mended = await verify(context, { nowMs: Date.now(), refetch });
  t.deepEqual(
    mended.damaged.map(({ repaired }) => repaired),
    [true],
  );
  t.deepEqual((await verify(context)).damaged, []);

  await damageFile(path, 'flip');
  const claimed = await verify(context, { nowMs: Date.now(), refetch: () => Promise.resolve(true) });
  t.deepEqual(
    claimed.damaged.map(({ repaired }) => repaired),
    [false],
  );
});

test('a repair records a sound blob whose times changed, so that the next fetch need not hash it', async (t) => {
  const context = await storeContext(t);
  const image = await putImage(context.store, { name: 'example.com/app' });
  const path = context.store.blobPath(image.imageId);
  await damageFile(path, 'flip');
  await damageFile(path, 'flip');
  t.is(await context.store.blobState(image.imageId), 'changed');
  t.deepEqual((await verify(context, { nowMs: Date.now() })).damaged, []);
  t.is(await context.store.blobState(image.imageId), 'intact');
});

test('an image that is removed while the others are read is not damaged', async (t) => {
  const context = await storeContext(t);
  const images = await putSome(context, 3);
  const [, , last] = images;
  if (!last) return t.fail();
  await context.store.remove(last.imageId);
  const { checked, damaged } = await verifyImages(
    context,
    { images, blobs: context.store.blobRows(), width: 1 },
    never,
  );
  t.is(checked, 3);
  t.deepEqual(damaged, []);
});

function verify(context: Context, repair?: Repair) {
  const { store } = context;
  const everything = { images: store.images(), blobs: store.blobRows() };
  return verifyImages(context, { ...everything, width: 3, ...(repair && { repair }) }, never);
}

async function putSome({ store }: Context, count: number): Promise<StoredImage[]> {
  const images: StoredImage[] = [];
  for (let seed = 0; seed < count; seed++) {
    images.push(await putImage(store, { name: `example.com/app${seed}`, size: 4000 + seed * 1000, seed }));
  }
  return images;
}
