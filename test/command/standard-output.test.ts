import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';

import test, { type ExecutionContext } from 'ava';

import { buildAci } from '../helpers/archive.ts';
import { environmentIn } from '../helpers/environment.ts';
import { runHere } from '../helpers/run-here.ts';
import { openShell } from '../helpers/shell.ts';
import { storeContext } from '../helpers/store-context.ts';
import { putImage, temporaryDirectory } from '../helpers/stored.ts';

/** Takes nothing, as a pipe or a disk does that fails with that error. */
function failing(code: string): Writable {
  return new Writable({
    write: (_chunk, _encoding, done) =>
      done(Object.assign(new Error(`${code}: it failed`), { code, syscall: 'write' })),
  });
}

async function longshore(t: ExecutionContext) {
  const { store } = await storeContext(t);
  await putImage(store, { name: 'example.com/app', version: '1.0', size: 300_000 });
  await store.close();
  const directory = await temporaryDirectory(t);
  const file = join(directory, 'other.aci');
  await writeFile(file, (await buildAci({ name: 'example.com/other' })).bytes);
  const environment = {
    ...environmentIn(directory),
    ...{ LONGSHORE_DIR: store.dir, LONGSHORE_INSECURE_OPTIONS: 'image', LONGSHORE_PROGRESS: 'none' },
  };
  return { file, environment };
}

const commands = [
  'fetch FILE',
  'fetch FILE --output=json',
  'plan FILE',
  'plan FILE --output=json',
  'plan FILE --output=dot',
  'image list',
  'image list --output=json',
  'image show example.com/app',
  'image show example.com/app --output=json',
  'image cat-manifest example.com/app',
  'image export example.com/app -',
  'image verify',
  'image verify --output=json',
  'image rm example.com/app',
  'trust list',
  'trust list --output=json',
  '--help',
  '--version',
  'image --help',
  'fetch --help',
  'fetch --version',
];

for (const command of commands) {
  test(`longshore ${command} reports that its result could not be written, and ends with 8`, async (t) => {
    const { file, environment } = await longshore(t);
    const args = command.replace('FILE', file).split(' ');
    const { code, stderr } = await runHere(args, environment, failing('ENOSPC'));
    t.is(code, 8, stderr);
    const [line] = stderr.match(/^error: .*$/gm) ?? [];
    t.regex(
      line ?? '',
      /^error: OUTPUT_FAILED: the standard output could not be written: no space left on device \(ENOSPC\)\. /,
    );
    t.notRegex(stderr, /INTERNAL/);
  });
}

test('a reader that has left is no failure, whatever the command', async (t) => {
  const { environment } = await longshore(t);
  for (const command of ['image list', 'image export example.com/app -', 'trust list', '--help', 'fetch --help']) {
    const { code, stderr } = await runHere(command.split(' '), environment, failing('EPIPE'));
    t.is(stderr, '', command);
    t.true(code < 2, command);
  }
});

test('from a shell: a full disk, and a limit on files that cuts a write short, are reported, also by --version and --help', async (t) => {
  const { run, directory } = await openShell(t);
  const failed = /^error: OUTPUT_FAILED: the standard output could not be written: .* \((?:ENOSPC|EFBIG)\)\. [^\n]+\n$/;
  for (const line of ['longshore --version >/dev/full', 'longshore image list >/dev/full']) {
    const { code, stderr } = await run(line);
    t.is(code, 8, line);
    t.regex(stderr, failed, line);
  }
  const { stdout, stderr } = await run('(ulimit -f 2; exec longshore fetch --help >help); echo $?');
  t.is(stdout, '8\n');
  t.regex(stderr, failed);
  t.is((await readFile(join(directory, 'help'))).length, 1024);
});

test('from a shell: a standard error that cannot be written has no effect', async (t) => {
  const { run } = await openShell(t);
  t.like(await run('longshore image list --no-legend 2>/dev/full'), { code: 0, stdout: '', stderr: '' });
  t.is((await run('longshore image show none 2>/dev/full')).code, 4);
  t.is((await run('longshore fetch --progress=json --insecure-options=image ./none.aci 2>/dev/full')).code, 4);
});
