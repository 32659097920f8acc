import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { compileCache } from '../helpers/built.ts';
import { preloadUrl, withoutGrace } from '../helpers/preload.ts';
import { bin, runCli } from '../helpers/run-cli.ts';
import { runHere } from '../helpers/run-here.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

test('the demonstration fetches a signed tree, refuses a stranger, and leaves the store alone', async (t) => {
  const dir = await temporaryDirectory(t);
  const keep = join(await temporaryDirectory(t), 'kept');
  const { code, stdout, stderr } = await runCli(['demo', '--keep', keep], { TMPDIR: dir });
  t.is(stderr, '');
  t.is(code, 0);
  t.regex(stdout, /^fetched +30 images/m);
  t.regex(stdout, /^refused +demo\.example\/app\/stranger.*KEY_UNKNOWN$/m);
  t.regex(stdout, /^again +30 images are there already: 0 requests/m);
  t.true(stdout.split('\n').every((line) => line.length <= 80 || line.includes(keep)));
  t.deepEqual(await readdir(dir), []);
  t.regex((await runHere(['image', 'verify', '--dir', keep])).stdout, /^checked 30 images .*: all sound\n$/);
});

test('an interrupted demonstration ends, and leaves nothing', async (t) => {
  const dir = await temporaryDirectory(t);
  const env = { PATH: process.env['PATH'], HOME: dir, TMPDIR: dir, NODE_COMPILE_CACHE: compileCache };
  const demo = spawn(process.execPath, ['--import', preloadUrl(withoutGrace), bin, 'demo'], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(demo.stdout, 'data');
  demo.kill('SIGINT');
  demo.stdout.resume();
  t.deepEqual(await once(demo, 'close'), [130, null]);
  t.deepEqual(await readdir(dir), []);
});

test('a directory that is not empty is refused for the store', async (t) => {
  const dir = await temporaryDirectory(t);
  await writeFile(join(dir, 'mine'), '');
  const { code, stdout, stderr } = await runHere(['demo', '--keep', dir]);
  t.is(code, 2);
  t.is(stdout, '');
  t.regex(stderr, /USAGE: .*is not empty/);
  t.deepEqual(await readdir(dir), ['mine']);
});
