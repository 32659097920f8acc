import { execFileSync } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import test from 'ava';

import { buildAci } from '../helpers/archive.ts';
import { runCli } from '../helpers/run-cli.ts';
import { runHere } from '../helpers/run-here.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const patience = 600_000;

test('a signature file named by a user is read up to its limit, whatever size it reports', async (t) => {
  t.timeout(patience);
  const dir = await temporaryDirectory(t);
  const image = join(dir, 'app.aci');
  await writeFile(image, (await buildAci({ name: 'example.com/app' })).bytes);
  const { code, stderr } = await runCli(['fetch', image, '--signature', '/dev/zero', '--dir', join(dir, 'store')]);
  t.is(code, 5);
  t.regex(stderr, /LIMIT_EXCEEDED: the signature has more than/);
});

test('a signature named by a user may be a pipe; one that is found must be a regular file, or a link to one', async (t) => {
  t.timeout(patience);
  const dir = await temporaryDirectory(t);
  const image = join(dir, 'app.aci');
  await writeFile(image, (await buildAci({ name: 'example.com/app' })).bytes);
  const pipe = join(dir, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const fetching = ['fetch', image, '--dir', join(dir, 'store')];
  const named = runHere([...fetching, '--signature', pipe]);
  await writeFile(pipe, 'no signature');
  t.regex((await named).stderr, /SIGNATURE_UNREADABLE/);

  execFileSync('mkfifo', [`${image}.asc`]);
  const found = await runHere(fetching);
  t.is(found.code, 8);
  t.regex(found.stderr, /FILE_UNREADABLE: .*signature .*app\.aci\.asc can't be read: it is not a regular file/);
  execFileSync('rm', [`${image}.asc`]);

  await writeFile(join(dir, 'elsewhere'), 'no signature');
  await symlink(join(dir, 'elsewhere'), `${image}.asc`);
  t.regex((await runHere(fetching)).stderr, /SIGNATURE_UNREADABLE/);
});

test('an image that is named may be a link to a file; its signature is looked for beside the link', async (t) => {
  t.timeout(patience);
  const dir = await temporaryDirectory(t);
  await mkdir(join(dir, 'versions'));
  await writeFile(join(dir, 'versions/app-1.aci'), (await buildAci({ name: 'example.com/app' })).bytes);
  await symlink('versions/app-1.aci', join(dir, 'app.aci'));
  const fetching = ['fetch', join(dir, 'app.aci'), '--dir', join(dir, 'store')];
  for (const more of [[], ['--keep-archives']])
    t.like(await runHere([...fetching, '--insecure-options=image', ...more]), { code: 0 });
  t.regex(
    (await runHere(fetching)).stderr,
    /SIGNATURE_MISSING: there is no signature beside the image: .*\/app\.aci\.asc/,
  );
});

test('a signature that is a link to itself is reported in words', async (t) => {
  t.timeout(patience);
  const dir = await temporaryDirectory(t);
  const image = join(dir, 'app.aci');
  await writeFile(image, (await buildAci({ name: 'example.com/app' })).bytes);
  await symlink('app.aci.asc', `${image}.asc`);
  const { code, stderr } = await runHere(['fetch', image, '--dir', join(dir, 'store')]);
  t.is(code, 8);
  t.regex(stderr, /FILE_UNREADABLE: the signature .*app\.aci\.asc can't be read: it is a symbolic link .*\(ELOOP\)/);
});

test('a pipe or a device among keys and configuration is not waited for', async (t) => {
  t.timeout(patience);
  const dir = await temporaryDirectory(t);
  const user = join(dir, 'config');
  const places = [
    join(user, 'trustedkeys', 'root.d', 'a'.repeat(40)),
    join(user, 'auth.d', 'auth.json'),
    join(dir, 'home', '.docker', 'config.json'),
    join(dir, 'home', '.config', 'containers', 'registries.conf'),
    join(dir, 'home', '.config', 'containers', 'registries.conf.d', 'x.conf'),
  ];
  for (const make of [
    (path: string) => void execFileSync('mkfifo', [path]),
    (path: string) => symlink('/dev/zero', path),
  ]) {
    for (const path of places) {
      execFileSync('rm', ['-rf', user, join(dir, 'home')]);
      await mkdir(dirname(path), { recursive: true });
      await make(path);
      const args = [
        'fetch',
        'docker://127.0.0.1:1/app',
        '--user-config',
        user,
        '--retries',
        '0',
        '--dir',
        join(dir, 'store'),
      ];
      const { code, stderr } = await runHere([...args, '--insecure-options=image,http'], { HOME: join(dir, 'home') });
      t.true([2, 7].includes(code), `${path}: ${code} ${stderr}`);
      t.notRegex(stderr, /INTERNAL/, path);
    }
  }
});
