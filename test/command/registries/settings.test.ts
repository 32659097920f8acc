import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { environmentIn } from '../../helpers/environment.ts';
import { refusal, startRegistry, type TestRegistry } from '../../helpers/registry.ts';
import { layerOf } from '../../helpers/registry-fetching.ts';
import { runHere } from '../../helpers/run-here.ts';
import { temporaryDirectory } from '../../helpers/stored.ts';

/** A user's home, and longshore run for that user. */
async function home(t: ExecutionContext, files: Readonly<Record<string, string>> = {}) {
  const directory = await temporaryDirectory(t);
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), text);
  }
  const environment = {
    ...environmentIn(directory),
    XDG_RUNTIME_DIR: directory,
    LONGSHORE_INSECURE_OPTIONS: 'image',
    LONGSHORE_PROGRESS: 'none',
    LONGSHORE_RETRIES: '0',
  };
  return (args: readonly string[], more: Readonly<Record<string, string>> = {}) =>
    runHere(['fetch', '--platform=linux/amd64', '--keep=oci', ...args], { ...environment, ...more });
}

async function withApp(registry: TestRegistry, repository = 'app') {
  const { digest } = registry.putImage(repository, '1', { layers: [await layerOf({ a: '1' })] });
  return `${digest}\n`;
}

/** Answers those who say who they are. */
const guard = ({ headers }: { readonly headers: { readonly authorization?: string | undefined } }) =>
  headers.authorization === `Basic ${Buffer.from('user:secret').toString('base64')}`
    ? undefined
    : refusal(401, 'UNAUTHORIZED', 'authentication required', { 'www-authenticate': 'Basic realm="x"' });

test('a mirror on the command line is tried first, for the part before the =', async (t) => {
  const mirror = await startRegistry(t);
  const printed = await withApp(mirror, 'hub/busybox');
  const fetch = await home(t);
  const { code, stdout } = await fetch([`--mirror=docker.io/library=${mirror.url}/hub`, 'docker://busybox:1']);
  t.deepEqual([code, stdout], [0, printed]);
});

test('registries.conf sets where a registry is, and which ones are blocked', async (t) => {
  const registry = await startRegistry(t);
  const printed = await withApp(registry, 'x/app');
  const conf = `[[registry]]\nprefix = "example.com/team"\nlocation = "${registry.host}/x"\n[[registry]]\nlocation = "bad.example.com"\nblocked = true`;
  const fetch = await home(t, { '.config/containers/registries.conf': conf });
  const { code, stdout } = await fetch(['docker://example.com/team/app:1']);
  t.deepEqual([code, stdout], [0, printed]);
  const blocked = await fetch(['docker://bad.example.com/app']);
  t.deepEqual([blocked.code, blocked.stdout], [5, '']);
  t.regex(blocked.stderr, /INSECURE_REFUSED: the registry bad\.example\.com is blocked/);
});

test('a broken registries.conf stops the run, but only if a registry image is requested', async (t) => {
  const fetch = await home(t, { '.config/containers/registries.conf': '[[' });
  const { code, stderr } = await fetch(['docker://busybox']);
  t.is(code, 2);
  t.regex(stderr, /CONFIG_INVALID: ".*registries\.conf": is not TOML/);
  t.is((await fetch(['/nonexistent.aci'])).code, 4);
});

test('a broken rule gives a warning, and fails only its own registry', async (t) => {
  const registry = await startRegistry(t);
  const printed = await withApp(registry);
  const mirror = await startRegistry(t);
  const conf = `[[registry]]\nlocation = "broken.example"\n[[registry.mirror]]\nlocation = "https://${mirror.host}"`;
  const fetch = await home(t, { '.config/containers/registries.conf': conf });
  const { code, stdout, stderr } = await fetch([`docker://${registry.host}/app:1`], { LONGSHORE_PROGRESS: 'plain' });
  t.deepEqual([code, stdout], [0, printed]);
  t.regex(stderr, /warning: ".*registries\.conf": the rule for broken\.example: mirror\[0\]\.location: must be/);
  const failed = await fetch(['docker://broken.example/app:1']);
  t.deepEqual([failed.code, failed.stdout, mirror.requests.length], [2, '', 0]);
  t.regex(
    failed.stderr,
    /error: docker:\/\/broken\.example\/app:1: CONFIG_INVALID: ".*registries\.conf": the rule for broken/,
  );
});

for (const [what, files] of [
  ['what rkt kept', (host: string) => ({ 'local/auth.d/a.json': dockerAuth(host) })],
  ['what podman keeps', (host: string) => ({ 'containers/auth.json': auths(host) })],
  ['what docker keeps', (host: string) => ({ '.docker/config.json': auths(host) })],
] as const) {
  test(`${what} of a registry's credentials is sent to it, and to no other`, async (t) => {
    const registry = await startRegistry(t, { guard });
    const printed = await withApp(registry);
    const other = await startRegistry(t, { guard });
    await withApp(other);
    const fetch = await home(t, files(registry.host));
    const { code, stdout } = await fetch([`docker://${registry.host}/app:1`]);
    t.deepEqual([code, stdout], [0, printed]);
    const { code: refused, stderr } = await fetch([`docker://${other.host}/app:1`]);
    t.is(refused, 6);
    t.regex(stderr, /AUTH_REQUIRED/);
    t.true(other.requests.every(({ headers }) => headers.authorization === undefined));
  });
}

test('an https registry is trusted by its directory in certs.d, by --ca-file, or with tls checks disabled', async (t) => {
  const registry = await startRegistry(t, { https: true });
  const printed = await withApp(registry);
  const reference = `docker://${registry.host}/app:1`;
  t.is((await (await home(t))([reference])).code, 7);
  const trusting = await home(t, { [`.config/containers/certs.d/${registry.host}/ca.crt`]: registry.ca });
  t.is((await trusting([reference])).stdout, printed);
  const insecure = await home(t);
  t.is((await insecure([reference], { LONGSHORE_INSECURE_OPTIONS: 'image,tls' })).stdout, printed);
  const conf = `[[registry]]\nlocation = "${registry.host}"\ninsecure = true`;
  const named = await home(t, { '.config/containers/registries.conf': conf });
  t.is((await named([reference])).stdout, printed);
});

for (const [args, why] of [
  [['--platform=linux'], /--platform: want a platform/],
  [['--keep=all'], /--keep: want aci, oci, both/],
  [['--mirror=docker.io'], /--mirror: want NAME=VALUE/],
  [['--mirror=docker.io=mirror.lan'], /--mirror: want an origin/],
  [['--mirror=https://docker.io=https://m'], /--mirror: "https:\/\/docker\.io\/" is not a registry/],
  [['--mirror=docker.io=https://user:secret@m'], /--mirror: want an origin/],
] as const) {
  test(`${args.join(' ')} is refused`, async (t) => {
    const { code, stdout, stderr } = await (await home(t))([...args, 'docker://busybox']);
    t.deepEqual([code, stdout], [2, '']);
    t.regex(stderr, why);
    t.false(stderr.includes('secret'));
  });
}

function auths(host: string): string {
  return JSON.stringify({ auths: { [host]: { auth: Buffer.from('user:secret').toString('base64') } } });
}

function dockerAuth(host: string): string {
  const credentials = { user: 'user', password: 'secret' };
  return JSON.stringify({ rktKind: 'dockerAuth', rktVersion: 'v1', registries: [host], credentials });
}
