import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Script } from 'node:vm';

import test, { type ExecutionContext } from 'ava';

import { buildAci } from './helpers/archive.ts';
import { installPacked } from './helpers/packed.ts';
import { startProxy } from './helpers/proxy.ts';
import { startRegistry } from './helpers/registry.ts';
import { layerOf } from './helpers/registry-fetching.ts';
import { startServer } from './helpers/server.ts';
import { startSocks } from './helpers/socks.ts';
import { temporaryDirectory } from './helpers/stored.ts';

const exec = promisify(execFile);

let elsewhere: string;
let command: string;

test.before(async () => {
  elsewhere = await mkdtemp(join(tmpdir(), 'longshore-package-'));
  command = await installPacked(elsewhere);
});

test.after.always(() => rm(elsewhere, { recursive: true, force: true }));

test.serial('the package, installed elsewhere, works as a command and as a library', async (t) => {
  t.timeout(600_000);
  const { mode } = await stat(command);
  t.is(mode & 0o111, 0o111, 'npx runs it in a clone too, after any build');
  const app = await buildAci({ name: 'example.com/app', compress: 'gzip' });
  await writeFile(join(elsewhere, 'app.aci'), app.bytes);

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
  const required =
    "const { version } = require('longshore/package.json'); console.log(typeof require('longshore').openStore, version)";
  await writeFile(join(elsewhere, 'require.cjs'), required);
  const { stdout: found, stderr: warnings } = await exec(process.execPath, ['require.cjs'], { cwd: elsewhere });
  t.regex(found, /^function \d+\.\d+\.\d+\n$/);
  t.is(warnings, '');

  await writeFile(join(elsewhere, 'check.js'), conformance);
  const checked = await exec(process.execPath, ['check.js'], { cwd: elsewhere });
  t.is(checked.stdout, '[]\nCANCELLED\ntrue\n', 'its check of transports finds nothing wrong with one on node:http');
  const shipped = await readdir(join(elsewhere, 'node_modules/longshore'), { recursive: true });
  t.regex(await readFile(join(elsewhere, 'node_modules/longshore/dist/licenses/bin.txt'), 'utf8'), /^undici .*MIT/m);
  t.deepEqual(
    shipped.filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts')),
    [],
  );
});

const program = `
import { resolve } from 'node:path';
import { createApps, createFinder, openStore } from 'longshore';

await using store = await openStore({ dir: resolve('store') });
await using finder = createFinder({ store, insecure: { image: true }, pullPolicy: 'never' });
const apps = createApps([{ image: 'example.com/app' }]);
const { outcomes } = await finder.findImages(apps);
for (const app of apps) console.log(app.imageID, outcomes[0].status);
`;

const conformance = `
import { once } from 'node:events';
import { request } from 'node:http';
import { createRequire } from 'node:module';
import { isImageError } from 'longshore';
import { checkTransport } from 'longshore/transport';

const transport = async ({ method, url, headers, content }, signal) => {
  const sent = request(url, { method, headers, signal, agent: false });
  sent.end(content);
  const [answer] = await once(sent, 'response');
  const fields = Object.entries(answer.headersDistinct);
  const lists = fields.map(([name, values]) => [name, values.length === 1 ? values[0] : values]);
  return { status: answer.statusCode, headers: Object.fromEntries(lists), body: answer };
};
console.log(JSON.stringify(await checkTransport(transport)));
await checkTransport(transport, { signal: AbortSignal.abort() }).catch((error) => console.log(isImageError(error) && error.code));
console.log(createRequire(import.meta.url)('longshore/transport').checkTransport === checkTransport);
`;

type Way = {
  readonly to: 'http' | 'https' | 'registry' | 'file';
  /** The proxy, by the scheme that it is spoken to in. */
  readonly proxy?: 'http' | 'https' | 'socks5';
  readonly credentials?: string;
};

const ways: readonly Way[] = [
  { to: 'file' },
  { to: 'http' },
  { to: 'https' },
  { to: 'registry' },
  ...(['http', 'https', 'socks5'] as const).flatMap((proxy) =>
    [undefined, 'me:s p'].flatMap((credentials) =>
      (['http', 'https', 'registry'] as const).map((to) => ({ to, proxy, ...(credentials && { credentials }) })),
    ),
  ),
];

for (const way of ways) {
  const through = way.proxy ? `, through a proxy that speaks ${way.proxy}` : '';
  test.serial(
    `what is installed fetches: ${way.to}${through}${way.credentials ? ' and wants credentials' : ''}`,
    async (t) => {
      const { reference, ca, isAsked } = await origin(t, way.to);
      const directory = await temporaryDirectory(t);
      const { credentials } = way;
      const proxy = way.proxy && (await start(t, way.proxy, credentials));
      const url = proxy?.url.replace('//', credentials ? '//me:s%20p@' : '//');
      const authority = ca || proxy?.ca;
      await writeFile(join(directory, 'ca.pem'), authority ?? '');
      const options = ['--dir=store', '--full', '--progress=none', '--insecure-options=image,http', '--retries=0'];
      const env = {
        PATH: process.env['PATH'],
        HOME: directory,
        ...(url && (way.proxy === 'socks5' ? { all_proxy: url } : { http_proxy: url, https_proxy: url })),
      };
      const { stdout, stderr } = await exec(
        process.execPath,
        [command, 'fetch', ...options, ...(authority ? ['--ca-file=ca.pem'] : []), reference],
        {
          cwd: directory,
          env,
        },
      );
      t.regex(stdout, way.to === 'registry' ? /^sha256:[0-9a-f]{64}\n$/ : /^sha512-[0-9a-f]{128}\n$/);
      t.notRegex(stderr, /error/);
      t.true(isAsked());
      t.is((proxy?.requests.length ?? 0) > 0, proxy !== undefined, 'and by no other way');
    },
  );
}

function start(
  t: ExecutionContext,
  kind: NonNullable<Way['proxy']>,
  credentials: string | undefined,
): Promise<{ url: string; ca?: string; requests: readonly unknown[] }> {
  const options = credentials === undefined ? {} : { credentials };
  return kind === 'socks5' ? startSocks(t, options) : startProxy(t, { https: kind === 'https', ...options });
}

/** Something that has an image. */
async function origin(
  t: ExecutionContext,
  kind: Way['to'],
): Promise<{ reference: string; ca: string; isAsked: () => boolean }> {
  if (kind === 'registry') {
    const registry = await startRegistry(t, { https: true });
    registry.putImage('team/app', '1', { layers: [await layerOf({ 'etc/a': 'a' })] });
    const isAsked = () => registry.requests.length > 0;
    return { reference: `docker://${registry.host}/team/app:1`, ca: registry.ca, isAsked };
  }
  const { bytes } = await buildAci({ name: 'example.com/app', compress: 'gzip' });
  if (kind === 'file') {
    const path = join(await temporaryDirectory(t), 'app.aci');
    await writeFile(path, bytes);
    return { reference: path, ca: '', isAsked: () => true };
  }
  const server = await startServer(t, { '/app.aci': { body: bytes } }, { https: kind === 'https' });
  return { reference: `${server.url}/app.aci`, ca: server.ca, isAsked: () => server.requests.length > 0 };
}
