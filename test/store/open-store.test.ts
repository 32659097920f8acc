import { existsSync } from 'node:fs';
import { chmod, mkdir, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { openStore, setAsideIndex } from '../../src/store/open-store.ts';
import { commitBlob, idOf, storeDirectory } from '../helpers/blob.ts';
import { startStoreProcess } from '../helpers/store-process.ts';

test('a missing directory is an empty store to a reader, and is not created', async (t) => {
  const dir = await storeDirectory(t);
  await using store = await openStore({ dir, readOnly: true });

  const imageId = idOf(Buffer.from('x'));
  t.deepEqual(await Array.fromAsync(store.images()), []);
  t.deepEqual(await Array.fromAsync(store.unreferenced()), []);
  t.is(await store.findImage('example.com/app', new Map()), undefined);
  t.is(await store.blobState(imageId), 'missing');
  await t.throwsAsync(store.resolveId(imageId), { code: 'NOT_IN_STORE' });
  await t.throwsAsync(store.manifest(imageId), { code: 'NOT_IN_STORE' });
  t.false(existsSync(dir));
});

test('an incomplete new index is empty to a reader and finished by a writer', async (t) => {
  const dir = await storeDirectory(t);
  await mkdir(dir);
  await writeFile(join(dir, 'index.sqlite'), '');
  {
    await using reader = await openStore({ dir, readOnly: true });
    t.deepEqual(await Array.fromAsync(reader.images()), []);
  }
  const half = new DatabaseSync(join(dir, 'index.sqlite'));
  half.exec('PRAGMA journal_mode = WAL');
  half.close();
  {
    await using reader = await openStore({ dir, readOnly: true });
    t.deepEqual(await Array.fromAsync(reader.images()), []);
  }
  await using store = await openStore({ dir });
  t.truthy(await commitBlob(store));
});

test('a new store is an OCI image layout without images', async (t) => {
  const dir = await storeDirectory(t);
  await using _store = await openStore({ dir });
  t.deepEqual(JSON.parse(await readFile(join(dir, 'oci-layout'), 'utf8')), { imageLayoutVersion: '1.0.0' });
  t.like(JSON.parse(await readFile(join(dir, 'index.json'), 'utf8')), { schemaVersion: 2, manifests: [] });
  t.deepEqual((await readdir(join(dir, 'blobs'))).sort(), ['sha256', 'sha512']);
});

test('existing files are left unchanged when a store is opened again', async (t) => {
  const dir = await storeDirectory(t);
  await (await openStore({ dir })).close();
  await writeFile(join(dir, 'index.json'), '{"schemaVersion":2,"manifests":[{"mediaType":"x"}]}');
  await (await openStore({ dir })).close();
  t.regex(await readFile(join(dir, 'index.json'), 'utf8'), /"x"/);
});

test('eight processes may create one store at the same moment', async (t) => {
  const dir = await storeDirectory(t);
  const stores = await Promise.all(Array.from({ length: 8 }, () => openStore({ dir })));
  await Promise.all(stores.map((store) => commitBlob(store)));
  t.is((await Array.fromAsync(stores.values().next().value?.images() ?? [])).length, 8);
  await Promise.all(stores.map((store) => store.close()));
});

test('a store of a newer version is refused and left unchanged', async (t) => {
  const dir = await storeDirectory(t);
  await mkdir(dir);
  const index = join(dir, 'index.sqlite');
  const newer = new DatabaseSync(index);
  newer.exec('CREATE TABLE future (a); PRAGMA user_version = 99');
  newer.close();
  const before = await readFile(index);

  for (const readOnly of [false, true]) {
    const error = await t.throwsAsync(openStore({ dir, readOnly }));
    t.true(hasCode(error, 'STORE_VERSION') && error.details.found === 99);
  }
  t.true((await readFile(index)).equals(before));
});

test('a damaged index is STORE_CORRUPT, and the message says what to do', async (t) => {
  const dir = await storeDirectory(t);
  await (await openStore({ dir })).close();
  const index = join(dir, 'index.sqlite');
  await writeFile(index, 'this is no database, whatever it may look like');
  for (const readOnly of [false, true]) {
    await t.throwsAsync(openStore({ dir, readOnly }), { code: 'STORE_CORRUPT', message: /image verify --repair/ });
  }

  await rm(index);
  await (await openStore({ dir })).close();
  await truncate(index, 8192); // some of its tables are gone
  await t.throwsAsync(
    openStore({ dir }).then((store) => commitBlob(store)),
    { code: 'STORE_CORRUPT' },
  );
});

test('a reader sees committed rows that are still in the log, also without write permission', async (t) => {
  const dir = await storeDirectory(t);
  await using store = await openStore({ dir });
  const image = await commitBlob(store);
  await using reader = await openStore({ dir, readOnly: true });
  t.deepEqual(await Array.fromAsync(reader.images()), [image]);

  const copied = `${dir}-copied`; // as from a backup or a snapshot: the log is there, what users share is not
  await mkdir(copied);
  for (const file of ['index.sqlite', 'index.sqlite-wal']) {
    await using from = await open(join(dir, file)); // of another process's store it would be closed with care
    await writeFile(join(copied, file), await from.readFile());
  }
  await using copy = await openStore({ dir: copied, readOnly: true });
  t.deepEqual(await Array.fromAsync(copy.images()), [image]);
});

for (const umask of ['077', '000']) {
  test(`modes come from the store's directory, not from umask ${umask}; nothing is writable for the world`, async (t) => {
    const dir = await storeDirectory(t);
    await mkdir(dir);
    await chmod(dir, 0o2777);
    const process = startStoreProcess(t, ['umask', dir, umask]);
    await process.line();

    const modes: Record<string, number> = {};
    for (const path of await readdir(dir, { recursive: true }))
      modes[path] = (await stat(join(dir, path))).mode & 0o7777;
    t.true(Object.keys(modes).length > 15);
    const expected = Object.keys(modes).map((path) => {
      if (/^blobs\/sha512\/./.test(path)) return [path, 0o444];
      if (/^tmp\/./.test(path)) return [path, /lock$/.test(path) ? 0o644 : 0o2700];
      return [path, /\.|^oci-layout$/.test(path) ? 0o664 : 0o2775];
    });
    t.deepEqual(modes, Object.fromEntries(expected));
  });
}

test('below a setgid directory a new store takes its mode, elsewhere only its owner may write', async (t) => {
  const dir = await storeDirectory(t);
  await mkdir(dir);
  await chmod(dir, 0o2770);
  await (await openStore({ dir: join(dir, 'shared') })).close();
  t.is((await stat(join(dir, 'shared'))).mode & 0o7777, 0o2770);
  t.is((await stat(join(dir, 'shared', 'index.sqlite'))).mode & 0o777, 0o660);
  await chmod(dir, 0o700);
  await (await openStore({ dir: join(dir, 'mine') })).close();
  t.is((await stat(join(dir, 'mine'))).mode & 0o777, 0o755);
});

test('a store that is made under a umask of 077 is private, with all that is in it', async (t) => {
  const dir = await storeDirectory(t);
  await startStoreProcess(t, ['umask', dir, '077']).line();
  for (const path of ['.', 'index.sqlite', 'blobs/sha512', 'downloads', 'index.json'])
    t.is((await stat(join(dir, path))).mode & 0o077, 0, path);
});

test('a read-only store refuses every change', async (t) => {
  const dir = await storeDirectory(t);
  await (await openStore({ dir })).close();
  await using store = await openStore({ dir, readOnly: true });
  const imageId = idOf(Buffer.from('x'));
  const refused = { code: 'STORE_READ_ONLY' };

  await t.throwsAsync(store.putRemote('x', { imageId, maxAgeMs: 0, checkedAtMs: 0 }), refused);
  await t.throwsAsync(store.remove(imageId), refused);
  await t.throwsAsync(store.claim('x', new AbortController().signal), refused);
  await t.throwsAsync(store.tryClaim('x'), refused);
  await t.throwsAsync(store.collect({ nowMs: 0, partialsOlderThanMs: 0 }), refused);
  t.throws(() => store.temporaryPath(), refused);
  t.notThrows(() => store.touch(imageId));
});

test('a store that was not closed does not keep its process alive', async (t) => {
  const process = startStoreProcess(t, ['forget', await storeDirectory(t)]);
  t.is(await process.ended(), 0);
});

test('after its damaged index was set aside a store opens, and its blobs can be imported again', async (t) => {
  const dir = await storeDirectory(t);
  const store = await openStore({ dir });
  const { imageId } = await commitBlob(store);
  await store.close();
  await writeFile(join(dir, 'index.sqlite'), 'this is no database, whatever it may look like');
  await writeFile(join(dir, 'index.sqlite-wal'), 'nor is this its log');
  await t.throwsAsync(openStore({ dir }), { code: 'STORE_CORRUPT' });

  const aside = await setAsideIndex(dir, 1);

  t.true(existsSync(aside));
  await using repaired = await openStore({ dir, relisting: true });
  t.deepEqual(await Array.fromAsync(repaired.unreferenced()), [store.blobPath(imageId)]);
  t.truthy(await commitBlob(repaired));
});

test('a missing index cannot be set aside', async (t) => {
  await t.throwsAsync(setAsideIndex(await storeDirectory(t), 1), { code: 'STORE_CORRUPT' });
});
