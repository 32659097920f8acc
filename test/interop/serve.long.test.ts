import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import test, { type ExecutionContext } from 'ava';

import { putBuilt } from '../helpers/attached.ts';
import { environmentIn } from '../helpers/environment.ts';
import { describe, startRegistry } from '../helpers/registry.ts';
import { layerOf } from '../helpers/registry-fetching.ts';
import { runHere } from '../helpers/run-here.ts';
import { serve, usersOf } from '../helpers/serving.ts';
import { temporaryDirectory } from '../helpers/stored.ts';
import { until } from '../helpers/until.ts';

const execute = promisify(execFile);

function withProgram(program: string): typeof test | typeof test.skip {
  return spawnSync(program, ['--version']).error ? test.skip : test;
}

/** A store that was seeded from a registry that is off by now, and serves it. The images are from `registry.test`. */
async function openSeeded(t: ExecutionContext) {
  const directory = await temporaryDirectory(t);
  const registry = await startRegistry(t);
  const layers = [await layerOf({ 'etc/name': 'app' }), await layerOf({ 'etc/more': 'x'.repeat(300_000) })];
  const app = registry.putImage('team/app', '1', { layers });
  const { index } = putBuilt(registry, 'team/built', '1');
  const environment = { ...environmentIn(directory), LONGSHORE_INSECURE_OPTIONS: 'image', LONGSHORE_RETRIES: '0' };
  const mirror = `--mirror=registry.test=${registry.url}`;
  const fetch = (...args: readonly string[]) =>
    runHere(['fetch', '--keep=oci', '--progress=none', ...args], environment);
  const first = await fetch(mirror, '--platform=linux/amd64', 'docker://registry.test/team/app:1');
  const second = await fetch(mirror, '--platform=all', 'docker://registry.test/team/built:1');
  t.deepEqual([first.code, second.code], [0, 0], first.stderr + second.stderr);
  for (const path of Object.keys(registry.routes)) registry.routes[path] = { status: 503 };
  const server = await serve(t, environment.LONGSHORE_DIR);
  return { directory, environment, server, host: new URL(server.url).host, app, index };
}

/** What makes skopeo and podman ask the server in the place of the registry. */
async function writeRegistriesConf(directory: string, host: string): Promise<string> {
  const path = join(directory, 'registries.conf');
  const mirror = `[[registry.mirror]]\nlocation = "${host}/registry.test"\ninsecure = true\n`;
  await writeFile(path, `[[registry]]\nprefix = "registry.test"\nlocation = "registry.test"\n${mirror}`);
  return path;
}

const withSkopeo = withProgram('skopeo');

withSkopeo('skopeo reads images, indexes and tags, also where the server is a mirror', async (t) => {
  const { directory, environment, host, app, index } = await openSeeded(t);
  const skopeo = async (...args: readonly string[]) =>
    execute('skopeo', ['--registries-conf', await writeRegistriesConf(directory, host), ...args], { encoding: 'utf8' });
  const digestIn = async (name: string) =>
    describe(await readFile(join(directory, name, 'manifest.json'), 'utf8'), '').digest;
  const insecure = '--src-tls-verify=false';

  await skopeo('copy', insecure, `docker://${host}/registry.test/team/app:1`, `dir:${join(directory, 'one')}`);
  t.is(await digestIn('one'), app.digest);
  await skopeo('copy', insecure, '--all', `docker://${host}/team/built:1`, `dir:${join(directory, 'all')}`);
  t.is(await digestIn('all'), index.digest);
  await skopeo('copy', 'docker://registry.test/team/app:1', `dir:${join(directory, 'mirrored')}`);
  t.is(await digestIn('mirrored'), app.digest);
  await skopeo('copy', `docker://registry.test/team/app@${app.digest}`, `dir:${join(directory, 'by-digest')}`);
  t.is(await digestIn('by-digest'), app.digest);
  const { url } = await serve(t, environment.LONGSHORE_DIR, { users: usersOf({ node: 'secret' }) });
  const closed = `docker://${new URL(url).host}/registry.test/team/app:1`;
  await skopeo('copy', insecure, '--src-creds=node:secret', closed, `dir:${join(directory, 'with-password')}`);
  t.is(await digestIn('with-password'), app.digest);
  const denied = await t.throwsAsync(skopeo('inspect', '--tls-verify=false', '--creds=node:wrong', closed));
  t.regex(denied.message, /unauthorized|authentication required/i);
  const tags = await skopeo('list-tags', '--tls-verify=false', `docker://${host}/team/app`);
  t.deepEqual((JSON.parse(tags.stdout) as { Tags: string[] }).Tags, ['1']);
  const missing = await t.throwsAsync(skopeo('inspect', '--tls-verify=false', `docker://${host}/team/app:2`));
  t.regex(missing.message, /manifest unknown|the store does not have it/);
});

test('longshore fetches from a server that is a mirror, while the registry is off', async (t) => {
  const { directory, environment, server, app, index } = await openSeeded(t);
  const fetch = (mirror: string, ...args: readonly string[]) =>
    runHere(['fetch', '--keep=oci', '--progress=none', '--output=json', ...args], {
      ...environment,
      LONGSHORE_DIR: join(directory, 'second'),
      LONGSHORE_MIRROR: `registry.test=${mirror}`,
    });
  for (const [mirror, name, platform, digest] of [
    [server.url, 'app:1', 'linux/amd64', app.digest],
    [`${server.url}/registry.test`, `built@${index.digest}`, 'all', index.digest],
  ] as const) {
    const fetched = await fetch(mirror, `--platform=${platform}`, `docker://registry.test/team/${name}`);
    t.is(fetched.code, 0, fetched.stderr);
    t.like(JSON.parse(fetched.stdout), { images: [{ status: 'fetched', digest }] });
  }
});

withProgram('podman')('podman pulls through a mirror', async (t) => {
  const { directory, host, app } = await openSeeded(t);
  const own = ['--root', join(directory, 'root'), '--runroot', join(directory, 'run'), '--storage-driver', 'vfs'];
  const env = { ...process.env, CONTAINERS_REGISTRIES_CONF: await writeRegistriesConf(directory, host) };
  const podman = (...args: readonly string[]) => execute('podman', [...own, ...args], { env, encoding: 'utf8' });
  await podman('pull', '--quiet', 'registry.test/team/app:1');
  const { stdout } = await podman(
    'image',
    'inspect',
    '--format',
    '{{.Digest}} {{.RepoTags}}',
    'registry.test/team/app:1',
  );
  t.is(stdout.trim(), `${app.digest} [registry.test/team/app:1]`);
  await podman('rmi', '--all', '--force');
});

withProgram('containerd')('containerd pulls through a mirror, which it tells of the registry', async (t) => {
  const { host, app, server } = await openSeeded(t);
  const directory = await mkdtemp(join(tmpdir(), 'ctrd-')); // the path of a socket must be short
  const at = (name: string) => join(directory, name);
  await mkdir(at('hosts/registry.test'), { recursive: true });
  await writeFile(
    at('hosts/registry.test/hosts.toml'),
    `[host."http://${host}"]\n  capabilities = ["pull", "resolve"]\n`,
  );
  await writeFile(at('config.toml'), 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n');
  const places = [
    '--root',
    at('root'),
    '--state',
    at('state'),
    '--address',
    at('socket'),
    '--config',
    at('config.toml'),
  ];
  const daemon = spawn('containerd', [...places, '--log-level', 'error'], { stdio: 'ignore' });
  t.teardown(async () => {
    daemon.kill('SIGTERM');
    if (daemon.exitCode === null) await once(daemon, 'exit');
    await rm(directory, { recursive: true, force: true });
  });
  const ctr = (...args: readonly string[]) =>
    execute('ctr', ['--address', at('socket'), '--namespace', 'test', ...args], { encoding: 'utf8' });
  await until(() => existsSync(at('socket')) || daemon.exitCode !== null);
  await ctr(
    'images',
    'pull',
    '--snapshotter',
    'native',
    '--platform',
    'linux/amd64',
    '--hosts-dir',
    at('hosts'),
    'registry.test/team/app:1',
  );
  const listed = await ctr('images', 'list');
  t.regex(listed.stdout, new RegExp(`^registry\\.test/team/app:1 .*${app.digest}`, 'm'));
  t.deepEqual(server.warnings, []);
});
