import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { openKeystore } from '../../src/verify/open-keystore.ts';
import { keystoreDirs, putKey } from '../helpers/keystore-dirs.ts';

const fingerprint = 'a'.repeat(40);
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

test('a key that is put back after a mask is trusted again', async (t) => {
  const dirs = await keystoreDirs(t);
  const keystore = await openKeystore({ dirs });
  await putKey(dirs[0], `root.d/${fingerprint}`, 'system');
  await keystore.remove({ fingerprint, layer: 1 });
  await keystore.add({ fingerprint, layer: 1, certificate: Buffer.from('again') });
  t.is((await keystore.keyring('example.com/foo')).keys.length, 2);
});

test('only the place that was named is touched', async (t) => {
  const dirs = await keystoreDirs(t);
  const keystore = await openKeystore({ dirs });
  await putKey(dirs[1], `prefix.d/example.com/${fingerprint}`, 'parent');
  await putKey(dirs[1], `prefix.d/example.com/foo/${fingerprint}`, 'child');
  t.true(await keystore.remove({ fingerprint, prefix: 'example.com/foo', layer: 1 }));
  t.is((await keystore.keyring('example.com/foo')).keys.length, 1);
});
