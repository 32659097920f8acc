import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';

import test, { type ExecutionContext } from 'ava';

import { startDockerRegistry, writeLayout } from '../../helpers/docker-registry.ts';
import { environmentIn } from '../../helpers/environment.ts';
import { openGpg } from '../../helpers/keys.ts';
import { layerOf } from '../../helpers/registry-fetching.ts';
import { runHere } from '../../helpers/run-here.ts';
import { startServer } from '../../helpers/server.ts';
import { temporaryDirectory } from '../../helpers/stored.ts';

const run = promisify(execFile);

const opening = openGpg();
test.after.always(async () => (await opening).close());

/** An image for two processors that skopeo has pushed and signed, and longshore for a user who trusts the signer. */
async function signed(t: ExecutionContext, ...options: readonly string[]) {
  const registry = await startDockerRegistry(t);
  if (!registry) return undefined;
  const gpg = await opening;
  const directory = await temporaryDirectory(t);
  const signer = await gpg.createKey();
  const tar = await layerOf({ 'etc/hostname': 'a' });
  const diffId = `sha256:${createHash('sha256').update(tar).digest('hex')}`;
  const layout = join(directory, 'layout');
  await writeLayout(layout, ['amd64', 'arm64'], gzipSync(tar), diffId);

  const staging = join(directory, 'staging');
  const put = async (path: string, text: string | Uint8Array): Promise<void> => {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), text);
  };
  await put('staging.d/default.yaml', `default-docker:\n  lookaside-staging: file://${staging}\n`);
  const name = `${registry.host}/team/app:1`;
  const copy = [
    '--registries.d',
    join(directory, 'staging.d'),
    '--insecure-policy',
    'copy',
    '--quiet',
    '--dest-tls-verify=false',
  ];
  const arguments_ = [...copy, ...options, '--sign-by', signer, `oci:${layout}`, `docker://${name}`];
  await run('skopeo', arguments_, {
    env: { ...process.env, HOME: directory, XDG_RUNTIME_DIR: directory, GNUPGHOME: gpg.home },
  });

  await put('key.asc', await gpg.certificate(signer));
  const environment = {
    ...environmentIn(directory),
    XDG_CONFIG_HOME: join(directory, 'config'),
    LONGSHORE_PROGRESS: 'none',
  };
  const longshore = (...args: readonly string[]) => runHere(args, environment);
  const trust = () =>
    longshore('trust', `--prefix=${registry.host}/team`, '--skip-fingerprint-review', join(directory, 'key.asc'));
  const registriesD = (text: string) => put('config/containers/registries.d/a.yaml', text);
  return { name, signer, staging, longshore, trust, registriesD, host: registry.host };
}

for (const options of [[], ['--all']]) {
  test(`an image signed by skopeo is fetched, with the signature in a directory: skopeo copy ${options.join(' ')}`, async (t) => {
    const fixture = await signed(t, ...options);
    if (!fixture) return;
    const { name, signer, staging, longshore, trust, registriesD, host } = fixture;
    const fetch = () => longshore('fetch', '--output=json', '--platform=linux/amd64', `docker://${name}`);
    await registriesD(`docker:\n  ${host}:\n    lookaside: file://${staging}\n`);

    const unknown = await fetch();
    t.deepEqual([unknown.code, unknown.stderr.split('\n').length], [5, 2], unknown.stderr);
    t.regex(unknown.stderr, new RegExp(`KEY_UNKNOWN: signed by ${signer}`));
    t.is((await trust()).code, 0);
    const { code, stdout, stderr } = await fetch();
    t.is(code, 0, stderr);
    t.like(JSON.parse(stdout), { images: [{ status: 'fetched', signedBy: [signer] }] });
    t.like(JSON.parse((await fetch()).stdout), { images: [{ status: 'present', signedBy: [signer] }] });
  });
}

test('an image signed by skopeo is fetched, with the signature on a server', async (t) => {
  const fixture = await signed(t);
  if (!fixture) return;
  const { name, signer, staging, longshore, trust, registriesD } = fixture;
  const paths = (await readdir(staging, { recursive: true })).filter((path) => path.endsWith('/signature-1'));
  const routes = paths.map(async (path) => [`/sigs/${path}`, { body: await readFile(join(staging, path)) }] as const);
  const server = await startServer(t, Object.fromEntries(await Promise.all(routes)));
  await registriesD(`default-docker:\n  lookaside: ${server.url}/sigs/\n`);
  await trust();
  const { code, stdout, stderr } = await longshore(
    'fetch',
    '--output=json',
    '--platform=linux/amd64',
    `docker://${name}`,
  );
  t.is(code, 0, stderr);
  t.like(JSON.parse(stdout), { images: [{ status: 'fetched', signedBy: [signer] }] });
  t.regex((await longshore('image', 'list', '--output=json')).stdout, new RegExp(`"verified":\\["${signer}"\\]`));
});

test('a bad registries.d ends the run before any work', async (t) => {
  const directory = await temporaryDirectory(t);
  const path = join(directory, 'containers/registries.d');
  await mkdir(path, { recursive: true });
  await writeFile(join(path, 'bad.yaml'), 'docker: [');
  const environment = { HOME: directory, XDG_CONFIG_HOME: directory, LONGSHORE_DIR: join(directory, 'store') };
  const { code, stdout, stderr } = await runHere(['fetch', 'docker://127.0.0.1:1/app'], environment);
  t.deepEqual([code, stdout], [2, '']);
  t.regex(stderr, /CONFIG_INVALID: .*bad\.yaml/);
});
