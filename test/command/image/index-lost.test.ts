import { copyFile, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { openStore } from '../../../src/store/open-store.ts';
import { runHere } from '../../helpers/run-here.ts';
import { storeContext } from '../../helpers/store-context.ts';
import { blobsOf, copyOf, fill, image, listed, signer } from '../../helpers/store-to-lose.ts';
import { putImage, temporaryDirectory } from '../../helpers/stored.ts';

type Report = {
  readonly damaged: readonly { problem: string; imageID?: string; digest?: string }[];
  relisted?: number;
};

/** What a process leaves that is killed: nothing of its commits has gone from the log into the index. */
async function killedStore(t: ExecutionContext): Promise<string> {
  const { store } = await storeContext(t);
  await fill(store, 3);
  return copyOf(t, store.dir);
}

const ways: Readonly<Record<string, (index: string) => Promise<void>>> = {
  'the index is gone': (index) => rm(index),
  'all of the index is gone': async (index) => {
    for (const suffix of ['', '-wal', '-shm']) await rm(index + suffix, { force: true });
  },
  'the index is empty': (index) => truncate(index, 0),
  'the log is gone before anything went from it into the index': (index) => rm(`${index}-wal`),
  'the index is no database, and its log is gone': async (index) => {
    await rm(`${index}-wal`);
    await writeFile(index, 'x'.repeat(8192));
  },
};

for (const [way, lose] of Object.entries(ways)) {
  test(`${way}: verify names every blob, the store does not count as empty, and a repair lists all again`, async (t) => {
    const dir = await killedStore(t);
    const before = await blobsOf(dir);
    await lose(join(dir, 'index.sqlite'));

    const found = await image(dir, 'verify', '--output=json');
    t.is(found.code, 8, found.stderr);
    t.regex(found.stderr, /STORE_CORRUPT.*verify --repair/);
    const { damaged } = JSON.parse(found.stdout) as Report;
    t.is(damaged.length, before.length - 2); // two of the names are those of directories
    t.true(damaged.every(({ problem }) => problem === 'index-lost'));
    t.regex(
      (await image(dir, 'verify')).stdout,
      /^sha512-.*index-lost\n(.*\n)*the index is lost: 10 blobs .* not listed\n$/,
    );

    for (const args of [['list'], ['show', 'example.com/app'], ['gc'], ['rm', 'example.com/app']]) {
      const refused = await image(dir, ...args);
      t.is(refused.code, 8, `${args.join(' ')}: ${refused.stderr}`);
      t.regex(refused.stderr, /STORE_CORRUPT.*verify --repair/);
    }
    const fetched = await runHere(['fetch', '--dir', dir, '--insecure-options=image', '/nowhere.aci']);
    t.is(fetched.code, 8, fetched.stderr);
    t.deepEqual(await blobsOf(dir), before);

    const repaired = await image(dir, 'verify', '--repair', '--output=json');
    t.is(repaired.code, 0, repaired.stderr);
    t.is((JSON.parse(repaired.stdout) as Report).relisted, 6);
    t.deepEqual(await blobsOf(dir), before);
    const images = await listed(dir);
    t.true(images.every(({ verified }) => verified === false));
    t.deepEqual(
      images.flatMap(({ reference }) => reference ?? []),
      ['docker.io/library/app:v0', 'docker.io/library/app:v1', 'docker.io/library/app:v2'],
    );
    t.is(images.length, 6);
    t.regex((await image(dir, 'verify')).stdout, /all sound\n$/);
    t.is((await image(dir, 'gc', '--partials-older-than=1ms')).code, 0);
    t.deepEqual(await blobsOf(dir), before);
  });
}

test('the log of a lost index is set aside with the rest of it', async (t) => {
  const dir = await killedStore(t);
  const log = await readFile(join(dir, 'index.sqlite-wal'));
  await rm(join(dir, 'index.sqlite'));
  t.is((await image(dir, 'gc')).code, 8);
  t.is((await image(dir, 'verify', '--repair')).code, 0);
  const aside = (await readdir(dir)).find((name) => /^index\.sqlite\.damaged-\d+-wal$/.test(name)) ?? '';
  t.deepEqual(await readFile(join(dir, aside)), log);
});

test('an interrupted repair leaves a store that only a repair can open', async (t) => {
  const dir = await killedStore(t);
  await rm(join(dir, 'index.sqlite'));
  await rm(join(dir, 'index.sqlite-wal'));
  await (await openStore({ dir, relisting: true })).close();
  for (const readOnly of [true, false]) {
    await t.throwsAsync(openStore({ dir, readOnly }), { code: 'STORE_CORRUPT', message: /verify --repair/ });
  }
  t.is((JSON.parse((await image(dir, 'verify', '--output=json')).stdout) as Report).damaged.length, 10);
  t.is((await image(dir, 'verify', '--repair')).code, 0);
  t.is((await listed(dir)).length, 6);
});

test('an older index gets the rows that it lacks, and what it knows stays verified', async (t) => {
  const { store } = await storeContext(t);
  await putImage(store, { name: 'example.com/first' }, { verified: [signer] });
  const old = join(await temporaryDirectory(t), 'old');
  await copyFile(join(store.dir, 'index.sqlite'), old);
  await copyFile(join(store.dir, 'index.sqlite-wal'), `${old}-wal`);
  await fill(store, 2);
  const dir = await copyOf(t, store.dir);
  await copyFile(old, join(dir, 'index.sqlite'));
  await copyFile(`${old}-wal`, join(dir, 'index.sqlite-wal'));
  await rm(join(dir, 'index.sqlite-shm'));

  const before = await blobsOf(dir);
  t.regex((await image(dir, 'verify')).stdout, /^checked 1 image .*: all sound; unreferenced files: 2\n$/);
  const repaired = await image(dir, 'verify', '--repair');
  t.is(repaired.code, 0);
  t.is(
    repaired.stderr,
    'warning: the index did not name all that is in the store; 4 images are listed again, as not verified\n',
  );
  t.deepEqual(await blobsOf(dir), before);
  t.deepEqual(
    (await listed(dir)).map(({ verified }) => verified),
    [[signer], false, false, false, false],
  );
});
