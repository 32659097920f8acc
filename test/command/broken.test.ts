import { spawnSync } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import test from 'ava';

import { buildAci } from '../helpers/archive.ts';
import { openShell } from '../helpers/shell.ts';

/** A shell beside an image, a file, a directory and a pipe. */
async function opened(t: Parameters<typeof openShell>[0]) {
  const shell = await openShell(t);
  const at = (path: string): string => join(shell.directory, path);
  await writeFile(at('a.aci'), (await buildAci({ name: 'example.com/a' })).bytes);
  await writeFile(at('file'), '');
  await writeFile(at('list'), './a.aci\n');
  await mkdir(at('dir'));
  await symlink('loop', at('loop'));
  spawnSync('mkfifo', [at('pipe')]);
  const environment = { LONGSHORE_INSECURE_OPTIONS: 'image', LONGSHORE_PROGRESS: 'none' };
  return { ...shell, at, run: (line: string) => shell.run(line, environment), environment };
}

const long = 'n'.repeat(255);

const lines: readonly (readonly [line: string, code: number, message: RegExp])[] = [
  ['fetch a.aci --report file/run.html', 2, /USAGE: --report: cannot write "file\/run\.html": ENOTDIR/],
  ['fetch a.aci --lock file/lock', 2, /USAGE: --lock: cannot write "file\/lock": ENOTDIR/],
  ['fetch a.aci --report pipe', 8, /OUTPUT_FAILED: the report pipe/],
  [
    'fetch a.aci --dir /proc/none/store',
    8,
    /STORE_READ_ONLY: \/proc\/none: no directory can be made there.*Choose a place/,
  ],
  ['fetch a.aci --dir /proc/none', 8, /STORE_READ_ONLY: \/proc\/none: no directory can be made there.*Choose a place/],
  ['image verify --repair --dir /proc/self/status/none', 8, /not a directory \(ENOTDIR\)\. Choose another path/],
  ['demo --keep file', 8, /FILE_UNREADABLE: cannot write .*file/],
  ['demo --keep file/store', 8, /FILE_UNREADABLE: cannot write .*file\/store/],
  ['demo --keep /proc/none', 4, /FILE_NOT_FOUND/],
  ['bench -f /dev/null', 2, /USAGE: there is nothing to measure/],
  ['trust "" --root', 2, /USAGE: an empty name is no key file/],
  ['fetch ""', 2, /^error: "": REFERENCE_INVALID/m],
  ['fetch -f dir', 4, /FILE_NOT_FOUND: the directory dir has no YAML or JSON file/],
  ['fetch -f file/list', 4, /FILE_NOT_FOUND: there is no list file\/list/],
  ['fetch -f https://example.com/list', 2, /USAGE: expected a local file/],
  ['fetch file:a.aci', 2, /^error: file:a\.aci: REFERENCE_INVALID: two slashes/m],
  ['fetch -f list --events list', 2, /USAGE: --events: "list" is a list of this run/],
  ['fetch -f list --report ./dir/../list', 2, /USAGE: --report: ".*" is a list of this run/],
  ['fetch -f list --events a.aci', 2, /USAGE: --events: "a\.aci" is an image or a signature of this run/],
  ['fetch ./a.aci --signature a.asc --report a.asc', 2, /USAGE: --report: "a\.asc" is an image or a signature/],
  ['fetch ./a.aci --events same --report same', 2, /USAGE: --report: "same" is the file of --events too/],
  ['fetch ./a.aci --lock store/index.sqlite', 2, /USAGE: --lock: "store\/index\.sqlite" is in the store/],
  ['fetch ./a.aci --events store/index.sqlite', 2, /USAGE: --events: .* is in the store/],
  ['fetch ./loop', 8, /FILE_UNREADABLE: .*loop can't be read: it is a symbolic link .* \(ELOOP\)\./],
  ['fetch ./a.aci --ca-file loop', 2, /--ca-file: cannot use "loop": it is a symbolic link .* \(ELOOP\)\./],
  ['image show docker://', 2, /REFERENCE_INVALID: an empty reference/],
];

for (const [line, code, message] of lines) {
  test(`longshore ${line} reports what is wrong, and not as a bug`, async (t) => {
    const { run } = await opened(t);
    const result = await run(`longshore ${line}`);
    t.is(result.code, code, result.stderr);
    t.regex(result.stderr, message);
    t.notRegex(result.stderr, /INTERNAL|\n {4}at /);
  });
}

test('a missing temporary directory is named', async (t) => {
  const { run } = await opened(t);
  for (const command of ['demo', 'bench --images=1']) {
    const { code, stderr } = await run(`TMPDIR=/nonexistent longshore ${command}`);
    t.is(code, 4);
    t.regex(stderr, /^error: FILE_NOT_FOUND: the directory of \/nonexistent\//);
  }
});

test('a removed working directory is named', async (t) => {
  const { run } = await opened(t);
  const { code, stderr } = await run('mkdir gone; cd gone; rmdir ../gone; longshore fetch x.aci');
  t.is(code, 4);
  t.regex(stderr, /FILE_NOT_FOUND: the working directory no longer exists/);
});

test('a report may have the longest possible name', async (t) => {
  const { run, at } = await opened(t);
  t.is((await run(`longshore fetch ./a.aci --report ${long}`)).code, 0);
  t.regex(await readFile(at(long), 'utf8'), /<html/);
});

test('an empty list gives a warning', async (t) => {
  const { run } = await opened(t);
  const { code, stderr } = await run('longshore fetch -f /dev/null');
  t.is(code, 0);
  t.regex(stderr, /^warning: no list names an image: there is nothing to do$/m);
});

test('a list from a pipe is relative to the working directory', async (t) => {
  const { run } = await opened(t);
  const { code, stdout } = await run(
    '(sleep 0.1; echo ./a.aci) >pipe & mkdir below; cd below; longshore plan -f ../pipe',
  );
  t.is(code, 4); // below holds no a.aci
  t.regex(stdout, /a\.aci: failed: FILE_NOT_FOUND/);
  t.is((await run("bash -c 'longshore plan -f <(echo ./a.aci)'")).code, 0);
});

for (const line of ['fetch -f pipe', 'trust --root --skip-fingerprint-review pipe', 'fetch a.aci --events pipe']) {
  test.serial(`longshore ${line} ends on a signal, also while nobody reads or writes the pipe`, async (t) => {
    const { start, environment } = await opened(t);
    const { child, result } = start(`longshore ${line} & echo $!; wait $!`, environment);
    const pid = Number(
      await new Promise((resolve) => child.stdout.once('data', (data: Buffer) => resolve(String(data)))),
    );
    await sleep(1500); // until it waits; sooner it would end all the same
    process.kill(pid, 'SIGTERM');
    t.is((await result).code, 143);
  });
}

test('events are written to a pipe once it has a reader, and a reader that leaves is no failure', async (t) => {
  const { run } = await opened(t);
  const read = await run('(sleep 0.5; cat pipe >read) & longshore fetch ./a.aci --events pipe; wait; wc -l <read');
  t.regex(read.stdout, /^sha512-[0-9a-f]+\n\d+\n$/);
  t.is((await run('true <pipe & longshore fetch ./a.aci --events pipe')).code, 0);
});

test('directories in the environment that are not absolute count as unset', async (t) => {
  const { run, directory } = await opened(t);
  const before = await readdir(directory);
  const unset = 'HOME= XDG_CACHE_HOME=x XDG_CONFIG_HOME=x XDG_DATA_HOME=x';
  t.is((await run(`${unset} longshore image list --dir /nonexistent/store`)).code, 0);
  t.is((await run(`HOME=x longshore image list --dir /nonexistent/store`)).code, 0);
  t.deepEqual(await readdir(directory), before);
});

test('a user without an entry in the system and without a home directory can use it', async (t) => {
  const { run, directory } = await opened(t);
  if (process.getuid?.() !== 0) {
    t.log('skipped: only root can become another user');
    t.pass();
    return;
  }
  await chmod(directory, 0o755);
  const line = 'setpriv --reuid=12345 --regid=12345 --clear-groups env -u HOME longshore image list --no-legend';
  t.like(await run(line), { code: 0, stdout: '', stderr: '' });
});

test('a working directory without permission to enter is no bug', async (t) => {
  const { run, directory } = await opened(t);
  if (process.getuid?.() !== 0) {
    t.log('skipped: only root can become another user');
    t.pass();
    return;
  }
  await chmod(directory, 0o755);
  const { stderr } = await run(
    'cd dir; chmod 0 .; setpriv --reuid=12345 --regid=12345 --clear-groups env HOME=/nonexistent longshore plan ./x.aci',
  );
  t.regex(stderr, /error: /);
  t.notRegex(stderr, /INTERNAL/);
});

test('the advice for a path that cannot be a store is to choose another, not to repair it', async (t) => {
  const { run } = await opened(t);
  const { code, stderr } = await run('longshore image list --dir file');
  t.is(code, 8);
  t.regex(stderr, /not a directory .*Choose another path, for the store with --dir/);
  t.notRegex(stderr, /repair/);
});
