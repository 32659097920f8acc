import { open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import test, { type ExecutionContext } from 'ava';

import { prepareBlob } from '../../helpers/blob.ts';
import { damageFile } from '../../helpers/damage.ts';
import { namesInIndex, putRegistryImage } from '../../helpers/registry-image.ts';
import { runHere } from '../../helpers/run-here.ts';
import { storeContext } from '../../helpers/store-context.ts';
import { putImage } from '../../helpers/stored.ts';

const key = 'ab'.repeat(20);

async function closedStore(t: ExecutionContext) {
  const { store } = await storeContext(t);
  const signed = await putImage(store, { name: 'example.com/app', version: '1.0', size: 5000 }, { verified: [key] });
  for (let seed = 0; seed < 7; seed++) await putImage(store, { name: 'example.com/many', size: 100, seed });
  await store.close();
  return { signed, store, image: (...args: string[]) => runHere(['image', ...args, '--dir', store.dir]) };
}

test('an index that is no database is set aside, and its images are listed again as not verified', async (t) => {
  const { signed, store, image } = await closedStore(t);
  await writeFile(join(store.dir, 'index.sqlite'), 'x'.repeat(8192));
  const refused = await image('verify');
  t.is(refused.code, 8);
  t.regex(refused.stderr, /STORE_CORRUPT.*verify --repair/);

  const repaired = await image('verify', '--repair');
  t.is(repaired.code, 0);
  t.regex(
    repaired.stderr,
    /^warning: the index was damaged and is now .*; 8 images are listed again, as not verified\n$/,
  );
  t.regex(repaired.stdout, /^checked 8 images \(.*\): all sound\n$/);
  t.true((await readdir(store.dir)).some((name) => name.startsWith('index.sqlite.damaged-')));

  const shown = await image('show', 'example.com/app:1.0', '--output=json');
  t.like(JSON.parse(shown.stdout), { imageID: signed.imageId, size: signed.size, verified: false });
});

test('complete registry images are listed again by the names in index.json', async (t) => {
  const { store } = await storeContext(t);
  const layer = Buffer.from('of two images');
  const first = await putRegistryImage(store, { content: '1', layer, verified: [key] });
  const second = await putRegistryImage(store, { reference: 'quay.io/team/app:latest', content: '2', layer });
  const cut = await putRegistryImage(store, { content: '3' });
  const gone = await putRegistryImage(store, { content: '4', layer: Buffer.from('soon gone') });
  await store.close();
  const path = join(store.dir, 'index.json');
  const document = JSON.parse(await readFile(path, 'utf8')) as { manifests: { annotations: object }[] };
  const name = { 'org.opencontainers.image.ref.name': '5' };
  const theirs = { ...document.manifests[0], annotations: { ...name, 'io.containerd.image.name': 'quay.io/x:5' } };
  await writeFile(path, JSON.stringify({ ...document, manifests: [...document.manifests, theirs, { digest: 'x' }] }));
  await writeFile(join(store.dir, 'index.sqlite'), 'x'.repeat(8192));
  await damageFile(store.digestPath(cut.manifest.digest), 'cut', 20);
  const lost = gone.blobs.find((digest) => ![...first.blobs, gone.manifest.digest].includes(digest)) ?? '';
  await damageFile(store.digestPath(lost as typeof first.manifest.digest), 'flip', 3);

  const image = (...args: string[]) => runHere(['image', ...args, '--dir', store.dir]);
  const repaired = await image('verify', '--repair');
  t.is(repaired.code, 0, repaired.stderr);
  t.regex(
    repaired.stderr,
    /; 2 images are listed again, as not verified\n(warning: no image could be read from .*\n){5}$/,
  );
  t.regex(repaired.stdout, /^checked \d blobs of registry images .*: all sound/);
  const { images } = JSON.parse((await image('list', '--output=json')).stdout) as {
    images: { reference: string; imageID: string; verified: false; latest: boolean }[];
  };
  t.deepEqual(
    images.map(({ reference, imageID, verified, latest }) => [reference, imageID, verified, latest]),
    [
      [first.reference, first.manifest.digest, false, false],
      [second.reference, second.manifest.digest, false, true],
    ],
  );
  t.true((await namesInIndex(store.dir)).includes('5'));
  t.regex((await image('verify')).stdout, /^checked \d blobs of registry images .*: all sound/);
});

test('a blob that does not match its name is not listed again; it is named, and kept', async (t) => {
  const { signed, store, image } = await closedStore(t);
  await writeFile(join(store.dir, 'index.sqlite'), 'x'.repeat(8192));
  await damageFile(store.blobPath(signed.imageId), 'flip', 2000);
  await writeFile(store.blobPath(signed.imageId).replace(/.{128}$/, 'f'.repeat(128)), 'no image');
  const repaired = await image('verify', '--repair');
  t.regex(repaired.stdout, /^checked 7 images .*unreferenced files: 2\n$/);
  t.is(repaired.stderr.match(/no image could be read from .*: the file stays until image gc/g)?.length, 2);
  t.regex((await image('verify')).stdout, /^checked 7 images .*: all sound; unreferenced files: 2\n$/);
  t.regex((await image('gc')).stdout, /removed 2 unreferenced blobs/);
  t.regex((await image('verify')).stdout, /^checked 7 images \([^)]*\): all sound\n$/);
});

test('whatever page of the index is overwritten, a repair lists every image again', async (t) => {
  const { store, image } = await closedStore(t);
  const index = join(store.dir, 'index.sqlite');
  const pages = (await stat(index)).size / 4096;
  for (const page of new Set([0, 1, 2, pages - 1])) {
    const file = await open(index, 'r+');
    await file.write(Buffer.alloc(4096, 0xa5), 0, 4096, page * 4096);
    await file.close();
    const { code, stdout } = await image('verify', '--repair');
    t.is(code, 0, `page ${page}`);
    t.regex(stdout, /^checked 8 images \([^)]*\): all sound\n$/, `page ${page}`);
  }
});

for (const change of [
  'UPDATE images SET size = 9223372036854775807',
  'UPDATE images SET imported_at = -9223372036854775807',
  'UPDATE generation SET number = 9007199254740993',
  'DELETE FROM generation',
  "UPDATE proofs SET signers = '{}'",
  "UPDATE proofs SET facts = 'null'",
  "UPDATE remotes SET image = 'x'",
]) {
  test(`a value that is never written is told of and mended, and no fault of the program: ${change}`, async (t) => {
    const { store } = await storeContext(t);
    const image = (...args: string[]) => runHere(['image', ...args, '--dir', store.dir]);
    const proof = {
      kind: 'openpgp',
      bytes: Buffer.of(1),
      digests: [],
      covers: `sha256:${key}`,
      signedBy: [key],
    } as const;
    const { imageId } = await store.commit({ ...(await prepareBlob(store)), proofs: [proof] });
    await store.putRemote('https://example.com/app.aci', { imageId, maxAgeMs: 1, checkedAtMs: 1 });
    await store.close();
    {
      using db = new DatabaseSync(join(store.dir, 'index.sqlite'));
      db.exec(change);
    }
    const told = await image('verify');
    t.is(told.code, 8, told.stderr);
    t.regex(told.stdout, /index-lost/);

    const { code, stderr } = await image('verify', '--repair');
    t.is(code, 0, stderr);
    t.regex(stderr, /the index was damaged and is now /);
    t.is((await image('verify')).code, 0);
  });
}
