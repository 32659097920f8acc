import { execFile } from 'node:child_process';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import test, { type ExecutionContext } from 'ava';
import { build } from 'esbuild';
import { rolldown } from 'rolldown';

import { buildAci } from './helpers/archive.ts';
import { openGpg } from './helpers/keys.ts';
import { installPacked } from './helpers/packed.ts';
import { startRegistry } from './helpers/registry.ts';
import { layerOf } from './helpers/registry-fetching.ts';
import { startServer } from './helpers/server.ts';
import { temporaryDirectory } from './helpers/stored.ts';

const exec = promisify(execFile);

/** A program of somebody else. */
const program = (workerUrl: string): string => `
import { createFinder, isImageError, openKeystore, openStore } from 'longshore';
import { checkTransport } from 'longshore/transport';
import { readFileSync } from 'node:fs';

const [dir, key, ...images] = process.argv.slice(2);
const workers = { workerUrl: ${workerUrl} };
await using keystore = await openKeystore({ dirs: [dir + '/keys'], ...workers });
const [trusted] = await keystore.trust(readFileSync(key, 'utf8'), { prefix: 'example.com' });
await using store = await openStore({ dir: dir + '/store', ...workers });
for (const options of [{ keystore, insecure: { http: true } }, { insecure: { http: true, image: true } }]) {
  await using finder = createFinder({ store, ...options });
  const { outcomes } = await finder.findImages(images);
  console.log(...outcomes.map(({ status, error }) => (isImageError(error) ? error.code : status)));
}
const { checked, damaged } = await store.verify();
console.log(trusted.fingerprint, checked, damaged.length, typeof checkTransport);
`;

type Bundle = (directory: string, entries: Readonly<Record<string, string>>) => Promise<void>;

const bundlers: Readonly<Record<string, Bundle>> = {
  async esbuild(directory, entryPoints) {
    await build({
      entryPoints,
      outdir: join(directory, 'out'),
      absWorkingDir: directory,
      bundle: true,
      platform: 'node',
      format: 'esm',
      logLevel: 'error',
    });
  },
  async rolldown(directory, input) {
    await using bundle = await rolldown({ input, cwd: directory, platform: 'node', logLevel: 'silent' });
    await bundle.write({ dir: join(directory, 'out'), format: 'esm' });
  },
};

let installed: string;
const gpg = await openGpg();

test.before(async () => {
  installed = await mkdtemp(join(tmpdir(), 'longshore-bundlers-'));
  await installPacked(installed);
});

test.after.always(async () => {
  await gpg.close();
  await rm(installed, { recursive: true, force: true });
});

function printed(key: string): string {
  return `fetched SIGNATURE_MISSING INSECURE_REFUSED\nfetched fetched fetched\n${key} 6 0 function\n`;
}

/** Makes the bundle where the package is installed. */
async function bundled(name: string, workerUrl: string, workers: object): Promise<string> {
  const directory = await mkdtemp(join(installed, `${name}-`));
  await writeFile(join(directory, 'program.js'), program(workerUrl));
  await bundlers[name]?.(directory, { program: './program.js', ...workers });
  return join(directory, 'out');
}

/** Lets a program fetch a signed image, an unsigned one, and one of a registry. */
async function run(t: ExecutionContext, path: string): Promise<{ readonly stdout: string; readonly key: string }> {
  const directory = await temporaryDirectory(t);
  const key = await gpg.createKey();
  const signed = await buildAci({ name: 'example.com/signed', compress: 'xz' });
  const unsigned = await buildAci({ name: 'example.com/unsigned', compress: 'bzip2' });
  const server = await startServer(t, {
    '/signed.aci': { body: signed.bytes },
    '/signed.aci.asc': { body: await gpg.sign(key, signed.bytes) },
    '/unsigned.aci': { body: unsigned.bytes },
  });
  const registry = await startRegistry(t, {});
  registry.putImage('team/app', '1', { layers: [await layerOf({ 'etc/a': 'a' })] });
  await writeFile(join(directory, 'key.pem'), await gpg.certificate(key));
  const images = [`${server.url}/signed.aci`, `${server.url}/unsigned.aci`, `docker://${registry.host}/team/app:1`];
  const { stdout } = await exec(process.execPath, [path, directory, join(directory, 'key.pem'), ...images]);
  return { stdout, key };
}

for (const name of Object.keys(bundlers)) {
  test.serial(`a program that ${name} has bundled runs where no package is installed`, async (t) => {
    t.timeout(600_000);
    const made = await bundled(name, "new URL('./longshore-worker.js', import.meta.url)", {
      'longshore-worker': 'longshore/worker',
    });
    const elsewhere = await temporaryDirectory(t);
    await cp(made, join(elsewhere, 'out'), { recursive: true });
    await writeFile(join(elsewhere, 'package.json'), '{ "type": "module" }');
    const { stdout, key } = await run(t, join(elsewhere, 'out/program.js'));
    t.is(stdout, printed(key));
  });

  test.serial(`a program that ${name} has bundled runs beside the installed package without an option`, async (t) => {
    t.timeout(600_000);
    const { stdout, key } = await run(t, join(await bundled(name, 'undefined', {}), 'program.js'));
    t.is(stdout, printed(key));
  });

  test.serial(`a program that ${name} has bundled alone says which option it needs`, async (t) => {
    t.timeout(600_000);
    const elsewhere = await temporaryDirectory(t);
    await cp(await bundled(name, 'undefined', {}), join(elsewhere, 'out'), { recursive: true });
    await writeFile(join(elsewhere, 'package.json'), '{ "type": "module" }');
    await t.throwsAsync(run(t, join(elsewhere, 'out/program.js')), {
      message: /USAGE.*workerUrl|workerUrl: a bundled/s,
    });
  });
}
