import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { runCli } from '../helpers/run-cli.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

test('the demonstration fetches a signed tree, refuses a stranger, and leaves nothing behind', async (t) => {
  const dir = await temporaryDirectory(t);
  const { code, stdout, stderr } = await runCli(['demo'], { TMPDIR: dir, NODE_DISABLE_COMPILE_CACHE: '1' });
  t.is(stderr, '');
  t.is(code, 0);
  t.regex(stdout, /^fetched +30 images/m);
  t.regex(stdout, /^refused +demo\.example\/app\/stranger.*KEY_UNKNOWN$/m);
  t.regex(stdout, /^again +30 images/m);
  t.true(Math.max(...stdout.split('\n').map((line) => line.length)) <= 80);
  t.deepEqual(await readdir(dir), []);
});

test('--keep keeps the store, which the other commands then read', async (t) => {
  const dir = join(await temporaryDirectory(t), 'kept');
  t.is((await runCli(['demo', '--keep', dir])).code, 0);
  const { stdout } = await runCli(['image', 'verify', '--dir', dir]);
  t.regex(stdout, /^checked 30 images .*: all sound\n$/);
});

test('a directory that holds something is not taken for the store', async (t) => {
  const dir = await temporaryDirectory(t);
  await writeFile(join(dir, 'mine'), '');
  const { code, stdout, stderr } = await runCli(['demo', '--keep', dir]);
  t.is(code, 2);
  t.is(stdout, '');
  t.regex(stderr, /USAGE: .*is not empty/);
  t.deepEqual(await readdir(dir), ['mine']);
});
