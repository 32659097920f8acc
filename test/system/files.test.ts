import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { usualPayload } from '../../src/image/proof.ts';
import { makeDirectories, readFound, readNamed } from '../../src/system/files.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

test('the missing directories of a path are made, and the first of them is returned', async (t) => {
  const directory = await temporaryDirectory(t);
  const path = join(directory, 'a/b/c');
  t.is(await makeDirectories(path, 0o700), join(directory, 'a'));
  t.is((await stat(path)).mode & 0o777, 0o700);
  t.is(await makeDirectories(path), undefined);
});

test('making directories fails where none can be made, and where something else exists', async (t) => {
  const file = join(await temporaryDirectory(t), 'file');
  await writeFile(file, '');
  await t.throwsAsync(makeDirectories('/proc/none/below'), { code: 'ENOENT' });
  for (const path of [file, join(file, 'below')]) await t.throwsAsync(makeDirectories(path), { code: 'ENOTDIR' });
});

test('what goes to threads is in memory of its own: a message copies all of the memory that a small buffer shares', async (t) => {
  const path = join(await temporaryDirectory(t), 'key');
  await writeFile(path, 'a key');
  const payload = usualPayload({ host: '127.0.0.1:5000', repository: 'app' }, 'sha256:00');
  for (const bytes of [await readFound(path, 100), await readNamed(path, 100), payload])
    t.is(bytes.buffer.byteLength, bytes.byteLength);
});
