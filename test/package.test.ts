import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Script } from 'node:vm';

import test from 'ava';

import { buildAci } from './helpers/archive.ts';

const exec = promisify(execFile);
const root = join(import.meta.dirname, '..');

test('the package, installed elsewhere, works as a command and as a library', async (t) => {
  t.timeout(600_000);
  const directory = await mkdtemp(join(tmpdir(), 'longshore-package-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  await exec('npm', ['pack', '--silent', '--pack-destination', directory], { cwd: root });
  const { mode } = await stat(join(root, 'dist/src/cli/bin.js'));
  t.is(mode & 0o111, 0o111, 'npx runs it in a clone too, after any build');
  const [tarball = ''] = (await readdir(directory)).filter((name) => name.endsWith('.tgz'));

  const elsewhere = join(directory, 'elsewhere');
  await mkdir(elsewhere);
  await writeFile(join(elsewhere, 'package.json'), '{ "type": "module" }');
  await exec('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', join('..', tarball)], {
    cwd: elsewhere,
  });
  const app = await buildAci({ name: 'example.com/app', compress: 'gzip' });
  await writeFile(join(elsewhere, 'app.aci'), app.bytes);

  const command = join(elsewhere, 'node_modules/.bin/longshore');
  const args = ['fetch', '--full', '--insecure-options=image', '--dir', 'store', '--report', 'run.html', './app.aci'];
  const { stdout } = await exec(process.execPath, [command, ...args], { cwd: elsewhere });
  t.is(stdout, `${app.imageId}\n`);
  const [script = 'none'] =
    /(?<=<script>).*?(?=<\/script>)/s.exec(await readFile(join(elsewhere, 'run.html'), 'utf8')) ?? [];
  t.notThrows(() => new Script(script), "the report's script is made of what was built");
  t.true(script.includes('createWaterfall('));

  const measure = ['bench', '--images=1', '--size=10K', '--rounds=1', '--jobs=1', '--workers=1'];
  const bench = await exec(process.execPath, [command, ...measure], { cwd: elsewhere });
  t.regex(bench.stdout, /^ +1 +1 +\d/m, 'its server and its runs are programs of their own');

  await writeFile(join(elsewhere, 'use.js'), program);
  const used = await exec(process.execPath, ['use.js'], { cwd: elsewhere });
  t.is(used.stdout, `${app.imageId} present\n`);
  const shipped = await readdir(join(elsewhere, 'node_modules/longshore'), { recursive: true });
  t.regex(await readFile(join(elsewhere, 'node_modules/longshore/dist/licenses/bin.txt'), 'utf8'), /^undici .*MIT/m);
  t.deepEqual(
    shipped.filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts')),
    [],
  );
});

const program = `
import { createApps, createFinder, openStore } from 'longshore';

await using store = await openStore({ dir: 'store' });
await using finder = createFinder({ store, pullPolicy: 'never' });
const apps = createApps([{ image: 'example.com/app' }]);
const { outcomes } = await finder.findImages(apps);
for (const app of apps) console.log(app.imageID, outcomes[0].status);
`;
