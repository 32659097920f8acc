import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import test from 'ava';

import { bin, runCli } from '../../helpers/run-cli.ts';
import { storeContext } from '../../helpers/store-context.ts';
import { putImage, temporaryDirectory } from '../../helpers/stored.ts';

const runFile = promisify(execFile);

test('from a shell: a name with a version and labels, a pipe of bytes, and a reader that leaves early', async (t) => {
  const { store } = await storeContext(t);
  const labels = { os: 'linux', arch: 'amd64' };
  const image = await putImage(store, { name: 'example.com/app', version: '1.0', labels, size: 500_000 });
  const listed = await runCli(['image', 'list', '--no-legend', '--full', '--fields=id,name'], {
    LONGSHORE_DIR: store.dir,
  });
  t.deepEqual(listed, {
    ...listed,
    code: 0,
    stdout: `${image.imageId}  example.com/app:1.0\n`,
    stderr: '',
  });
  const exported = await runCli(['image', 'export', 'example.com/app:1.0,os=linux', '-', '--dir', store.dir]);
  t.is(`sha512-${createHash('sha512').update(exported.bytes).digest('hex')}`, image.imageId);

  const script = '"$0" "$1" image export example.com/app - --dir "$2" | head -c 9';
  const { stdout, stderr } = await runFile('sh', ['-c', script, process.execPath, bin, store.dir]);
  t.is(stdout, 'manifest\0');
  t.is(stderr, '');
});

test('from a shell: a missing data directory is an empty store, and is not created', async (t) => {
  const dir = join(await temporaryDirectory(t), 'none');
  const { code, stdout } = await runCli(['image', 'verify', '--dir', dir]);
  t.is(stdout, 'no images to check\n');
  t.is(code, 0);
  await t.throwsAsync(access(dir), { code: 'ENOENT' });
});

test('from a shell: a full disk is reported as full, and the export leaves nothing on it', async (t) => {
  const { store } = await storeContext(t);
  await putImage(store, { name: 'example.com/app', size: 500_000 });
  const disk = await temporaryDirectory(t);
  const script =
    'mount -t tmpfs -o size=100k none "$3" && "$0" "$1" image export example.com/app "$3/app" --dir "$2"; echo $?; ls -A "$3"';
  const run = runFile('unshare', ['-m', 'sh', '-c', script, process.execPath, bin, store.dir, disk]);
  const { stdout, stderr } = await run.catch(() => ({ stdout: '', stderr: '' }));
  if (stdout === '') {
    t.log('skipped: this machine does not let us mount');
    t.pass();
    return;
  }
  t.is(stdout, '8\n');
  t.regex(stderr, /^error: STORE_FULL: .*ENOSPC/);
});
