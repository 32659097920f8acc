import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import test from 'ava';

import { openStore } from '../../../src/store/open-store.ts';
import { someBytes } from '../../helpers/archive.ts';
import { putTar } from '../../helpers/put-tar.ts';
import { bin } from '../../helpers/run-cli.ts';
import { runHere } from '../../helpers/run-here.ts';
import { openShell } from '../../helpers/shell.ts';
import { storeContext } from '../../helpers/store-context.ts';
import { putImage, temporaryDirectory } from '../../helpers/stored.ts';

const run = promisify(execFile);
const program = someBytes(100_000, 7);
const sha512 = (bytes: Uint8Array): string => createHash('sha512').update(bytes).digest('hex');

test('from a shell: extract and render, by name and by ID, rootfs only or complete, replacing an old tree', async (t) => {
  const { run: shell, directory } = await openShell(t);
  const store = await openStore({ dir: join(directory, 'store'), writesLittle: true });
  const base = await putImage(store, { name: 'example.com/base', files: { program } });
  const dependencies = [{ imageName: 'example.com/base' }];
  await putImage(store, { name: 'example.com/app', version: '1.0', files: { own: 'x' }, dependencies });
  await store.close();
  const text = `
    longshore image extract --rootfs-only example.com/base by-name &&
    longshore image extract ${base.imageId.slice(0, 19)} by-id --rootfs-only &&
    mkdir rendered whole && touch whole/old &&
    longshore image render example.com/app:1.0 rendered --rootfs-only &&
    longshore image render --overwrite example.com/app whole`;
  const done = await shell(text);
  t.deepEqual(done, { code: 0, signal: null, stdout: '', stderr: '' });
  for (const path of ['by-name/program', 'by-id/program', 'rendered/program', 'whole/rootfs/program']) {
    t.is(sha512(await readFile(join(directory, path))), sha512(program), path); // T99, T100
  }
  t.deepEqual((await readdir(join(directory, 'rendered'))).sort(), ['own', 'program']);
  t.deepEqual((await readdir(join(directory, 'whole'))).sort(), ['manifest', 'rootfs']);
});

test('each failure has its exit code and one line, and creates nothing', async (t) => {
  const { store } = await storeContext(t);
  await putImage(store, { name: 'example.com/self', dependencies: [{ imageName: 'example.com/self' }] });
  await putImage(store, { name: 'example.com/lone', dependencies: [{ imageName: 'example.com/none' }] });
  await store.close();
  const dir = await temporaryDirectory(t);
  const target = join(dir, 'app');
  const cases: readonly (readonly [code: number, message: RegExp, ...args: string[]])[] = [
    [4, /NOT_IN_STORE: example\.com\/lone needs example\.com\/none/, 'render', 'example.com/lone', target],
    [5, /DEPENDENCY_CYCLE: .*example\.com\/self → example\.com\/self/, 'render', 'example.com/self', target],
    [4, /NOT_IN_STORE/, 'extract', 'example.com/unheard-of', target],
    [2, /USAGE: .*root of the filesystem/, 'extract', '--overwrite', 'example.com/lone', '/'],
    [2, /USAGE: .*the name of the directory is empty/, 'extract', '--overwrite', 'example.com/lone', ''],
    [2, /USAGE: .*holds the store/, 'extract', '--overwrite', 'example.com/lone', join(store.dir, '..')],
    [2, /USAGE/, 'extract', 'example.com/lone'],
    [5, /LIMIT_EXCEEDED/, 'extract', 'example.com/lone', target, '--limit', 'entries=1'],
    [4, /FILE_NOT_FOUND/, 'extract', 'example.com/lone', join(dir, 'none', 'app')],
  ];
  for (const [code, message, ...args] of cases) {
    const result = await runHere(['image', ...args, '--dir', store.dir]);
    t.deepEqual([result.code, result.stdout], [code, ''], args.join(' '));
    t.regex(result.stderr, message);
    t.regex(result.stderr, /^error: [^\n]+\n$/);
  }
  t.deepEqual(await readdir(dir), []);
});

test('help shows operands, options and examples', async (t) => {
  const { run: shell } = await openShell(t);
  const { code, stdout } = await shell('longshore image extract --help && longshore image render --help');
  t.is(code, 0);
  for (const word of ['image extract <IMAGE> <DIR>', '--rootfs-only', '--overwrite', '--limit', 'a root filesystem']) {
    t.true(stdout.includes(word), word);
  }
});

test('from a shell: a full disk is reported as full, and nothing is left on it', async (t) => {
  const { store } = await storeContext(t);
  await putImage(store, { name: 'example.com/app', size: 500_000 });
  const disk = await temporaryDirectory(t);
  const script =
    'mount -t tmpfs -o size=100k none "$3" && "$0" "$1" image extract example.com/app "$3/app" --dir "$2"; echo $?; ls -A "$3"';
  const mounting = run('unshare', ['-m', 'sh', '-c', script, process.execPath, bin, store.dir, disk]);
  const { stdout, stderr } = await mounting.catch(() => ({ stdout: '', stderr: '' }));
  if (stdout === '') {
    t.log('skipped: this machine does not let us mount');
    t.pass();
    return;
  }
  t.is(stdout, '8\n');
  t.regex(stderr, /^error: STORE_FULL: .*app\/rootfs\/data.*ENOSPC/);
});

test('a user other than root gets everything but owners, setuid and devices, which a warning names', async (t) => {
  const { store } = await storeContext(t);
  await putTar(store, {
    name: 'example.com/app',
    tar: [
      { name: 'rootfs', type: 'directory', mode: 0o555 },
      { name: 'rootfs/null\u001b[2J', type: 'character-device', devmajor: 1, devminor: 3 },
      { name: 'rootfs/su', mode: 0o4755, uid: 0, gid: 0 },
      { name: 'rootfs/closed', type: 'directory', mode: 0o200 },
      { name: 'rootfs/closed/in', mode: 0o600 },
    ],
  });
  await store.close();
  const dir = await temporaryDirectory(t);
  await run('chmod', ['-R', 'a+rX', join(store.dir, '..')]);
  await chmod(dir, 0o777);
  const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups'];
  const args = ['image', 'extract', '--rootfs-only', '--overwrite', 'example.com/app', join(dir, 'app')];
  const extract = () => run('setpriv', [...nobody, process.execPath, bin, ...args, '--dir', store.dir]);
  const done = await extract().catch((error: unknown) => error as { readonly stdout: string; readonly stderr: string });
  if (/setpriv:|EACCES|Cannot find module/.test(done.stderr)) {
    t.log('skipped: this machine does not let us be somebody else');
    t.pass();
    return;
  }
  t.is(done.stderr, 'warning: devices and fifos that could not be made here were left out: rootfs/null\\x1b[2J\n');
  const { stdout } = await run('sh', ['-c', 'find app -printf "%P %m %u\n" | sort'], { cwd: dir });
  t.deepEqual(stdout.replaceAll(/ \S+\n/g, '\n').split('\n'), [' 555', 'closed 200', 'closed/in 600', 'su 755', '']);
  await extract(); // in place of directories that their modes close
  t.deepEqual(await readdir(dir), ['app']);
});
