import { chmod, chown, mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { buildAci } from '../helpers/archive.ts';
import { runCli } from '../helpers/run-cli.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

test('compiled code is kept in the cache directory of the user, also for threads', async (t) => {
  const home = await temporaryDirectory(t);
  const temporary = await temporaryDirectory(t);
  const { bytes } = await buildAci({ name: 'example.com/app' });
  await writeFile(join(home, 'app.aci'), bytes);
  const args = ['fetch', '--insecure-options=image', '--dir', join(home, 'store'), join(home, 'app.aci')];
  t.is((await runCli(args, { HOME: home, NODE_COMPILE_CACHE: '', TMPDIR: temporary })).code, 0);
  t.deepEqual(await readdir(temporary), []);
  const cache = join(home, '.cache/longshore');
  t.is((await stat(cache)).mode & 0o777, 0o700);
  const kept = (await readdir(cache, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const [main] = await readdir(cache);
  t.true(kept.length > 5);
  t.true(kept.every(({ parentPath }) => parentPath.startsWith(join(cache, main ?? 'none'))));
});

test('no compiled code is read from a directory that others could have written to', async (t) => {
  const home = await temporaryDirectory(t);
  const cache = join(home, '.cache/longshore');
  await mkdir(cache, { recursive: true });
  const run = () => runCli(['image', 'list'], { HOME: home, NODE_COMPILE_CACHE: '' });
  for (const path of [cache, join(home, '.cache')]) {
    await chmod(path, 0o777);
    t.is((await run()).code, 0);
    t.deepEqual(await readdir(cache), [], path);
    await chmod(path, 0o700);
  }
  if (process.geteuid?.() === 0) {
    await chown(join(home, '.cache'), 65534, 65534);
    t.is((await run()).code, 0);
    t.deepEqual(await readdir(cache), [], 'of another user');
    await chown(join(home, '.cache'), 0, 0);
  }
  t.is((await run()).code, 0);
  t.is((await readdir(cache)).length, 1);
});

test('a missing home directory is not created', async (t) => {
  const home = join(await temporaryDirectory(t), 'home');
  t.is((await runCli(['image', 'list', '--dir', join(home, 'store')], { HOME: home, NODE_COMPILE_CACHE: '' })).code, 0);
  await t.throwsAsync(stat(home), { code: 'ENOENT' });
});
