import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { openKeystore } from '../../src/verify/open-keystore.ts';
import { exec } from '../helpers/keys.ts';
import { keystoreDirs, putKey } from '../helpers/keystore-dirs.ts';

const fingerprint = 'a'.repeat(40);
const certificate = Buffer.from('a certificate');

test('a key is stored byte for byte under its fingerprint, and its path is returned', async (t) => {
  const dirs = await keystoreDirs(t);
  const keystore = await openKeystore({ dirs });
  const path = await keystore.add({
    certificate,
    fingerprint: fingerprint.toUpperCase(),
    prefix: 'example.com/foo',
    layer: 1,
  });
  t.is(path, join(dirs[1], 'trustedkeys/prefix.d/example.com/foo', fingerprint));
  t.deepEqual(await readFile(path), certificate);
  t.deepEqual(await readdir(dirname(path)), [fingerprint]);
  t.is(await keystore.add({ certificate, fingerprint, layer: 1 }), join(dirs[1], 'trustedkeys/root.d', fingerprint));
});

test('directories are 0755 and files 0644 under any umask', async (t) => {
  const [dir] = await keystoreDirs(t);
  const script = `
    import { openKeystore } from ${JSON.stringify(new URL('../../src/verify/open-keystore.ts', import.meta.url).href)};
    process.umask(Number(process.argv[1]));
    const keystore = await openKeystore({ dirs: process.argv.slice(2) });
    await keystore.add({ certificate: Buffer.from('x'), fingerprint: '${fingerprint}', prefix: 'example.com/a', layer: 0 });
  `;
  for (const umask of ['0o077', '0o000']) {
    const base = join(dir, umask);
    await exec(process.execPath, ['--input-type=module', '--eval', script, umask, base]);
    const mode = async (path: string) => (await stat(join(base, path))).mode & 0o777;
    t.is(await mode(`trustedkeys/prefix.d/example.com/a/${fingerprint}`), 0o644);
    for (const made of ['.', 'trustedkeys', 'trustedkeys/prefix.d', 'trustedkeys/prefix.d/example.com/a']) {
      t.is(await mode(made), 0o755, made);
    }
  }
});

test('a key replaces an earlier file', async (t) => {
  const dirs = await keystoreDirs(t);
  const keystore = await openKeystore({ dirs });
  await keystore.add({ certificate, fingerprint, layer: 2 });
  const path = await keystore.add({ certificate: Buffer.from('renewed'), fingerprint, layer: 2 });
  t.is(await readFile(path, 'utf8'), 'renewed');
});

test('the error for a directory that cannot be written names it, and no file is left', async (t) => {
  const dirs = await keystoreDirs(t);
  const keystore = await openKeystore({ dirs });
  await putKey(dirs[1], 'root.d', 'a file where a directory should be');
  const error = await t.throwsAsync(keystore.add({ certificate, fingerprint, layer: 1 }));
  t.true(hasCode(error, 'FILE_UNREADABLE') && error.details.path.endsWith(fingerprint));
  t.deepEqual(await readdir(join(dirs[1], 'trustedkeys')), ['root.d']);
});

test('fingerprints must be hex, certificates not empty, and layers exist', async (t) => {
  const keystore = await openKeystore({ dirs: await keystoreDirs(t) });
  for (const bad of ['', '../x', 'a'.repeat(39), 'g'.repeat(40)]) {
    t.true(hasCode(await t.throwsAsync(keystore.add({ certificate, fingerprint: bad, layer: 1 })), 'KEY_INVALID'));
  }
  await t.throwsAsync(keystore.add({ certificate: Buffer.alloc(0), fingerprint, layer: 1 }));
  await t.throwsAsync(keystore.add({ certificate, fingerprint, layer: 3 }), { instanceOf: RangeError });
});

const places = [undefined, 'example.com/foo'] as const;
const fileOf = (prefix: string | undefined) =>
  prefix === undefined ? `root.d/${fingerprint}` : `prefix.d/${prefix}/${fingerprint}`;

for (const prefix of places) {
  const where = prefix ?? 'root';
  const key = { fingerprint, layer: 2, ...(prefix !== undefined && { prefix }) };

  test(`removing a key takes its file away: ${where}`, async (t) => {
    const dirs = await keystoreDirs(t);
    const keystore = await openKeystore({ dirs });
    const path = await keystore.add({ ...key, certificate: Buffer.from('x') });
    t.true(await keystore.remove(key));
    await t.throwsAsync(stat(path), { code: 'ENOENT' });
    t.deepEqual((await keystore.keyring('example.com/foo')).keys, []);
    t.false(await keystore.remove(key));
  });

  test(`a key of the system is masked by an empty file and stays as it is: ${where}`, async (t) => {
    const dirs = await keystoreDirs(t);
    const keystore = await openKeystore({ dirs });
    const path = await putKey(dirs[0], fileOf(prefix), 'system');
    await putKey(dirs[1], fileOf(prefix), 'local');
    t.is((await keystore.keyring('example.com/foo')).keys.length, 2);
    t.true(await keystore.remove(key));
    t.is(await readFile(path, 'utf8'), 'system');
    await t.throwsAsync(stat(join(dirs[1], 'trustedkeys', fileOf(prefix))), { code: 'ENOENT' });
    t.is((await stat(join(dirs[2], 'trustedkeys', fileOf(prefix)))).size, 0);
    t.deepEqual((await keystore.keyring('example.com/foo')).keys, []);
    t.false(await keystore.remove(key));
  });
}

test('a key that is added again after a mask is trusted', async (t) => {
  const dirs = await keystoreDirs(t);
  const keystore = await openKeystore({ dirs });
  await putKey(dirs[0], `root.d/${fingerprint}`, 'system');
  await keystore.remove({ fingerprint, layer: 1 });
  await keystore.add({ fingerprint, layer: 1, certificate: Buffer.from('again') });
  t.is((await keystore.keyring('example.com/foo')).keys.length, 2);
});

test('only the named layer and prefix are changed', async (t) => {
  const dirs = await keystoreDirs(t);
  const keystore = await openKeystore({ dirs });
  await putKey(dirs[1], `prefix.d/example.com/${fingerprint}`, 'parent');
  await putKey(dirs[1], `prefix.d/example.com/foo/${fingerprint}`, 'child');
  t.true(await keystore.remove({ fingerprint, prefix: 'example.com/foo', layer: 1 }));
  t.is((await keystore.keyring('example.com/foo')).keys.length, 1);
});
