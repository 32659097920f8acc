import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';

import test, { type ExecutionContext } from 'ava';

import { compileCache } from '../helpers/built.ts';
import { makeCertificate } from '../helpers/certificates.ts';
import { createCosignKey, payloadOf, putSignatures } from '../helpers/cosign.ts';
import { environmentIn } from '../helpers/environment.ts';
import { startRegistry } from '../helpers/registry.ts';
import { bin } from '../helpers/run-cli.ts';
import { runHere } from '../helpers/run-here.ts';
import { fits } from '../helpers/schemas.ts';
import { ask, usersOf } from '../helpers/serving.ts';
import { temporaryDirectory } from '../helpers/stored.ts';
import { until } from '../helpers/until.ts';

/** A store with one image, below a directory that only its owner may enter. */
async function openStoreToServe(t: ExecutionContext, layerBytes = 10) {
  const directory = await temporaryDirectory(t);
  const registry = await startRegistry(t);
  const { digest, manifest } = registry.putImage('team/app', '1', { layers: [Buffer.alloc(layerBytes)] });
  const environment = { ...environmentIn(directory), LONGSHORE_INSECURE_OPTIONS: 'image' };
  const fetched = await runHere(
    ['fetch', '--keep=oci', '--platform=linux/amd64', '--progress=none', `docker://${registry.host}/team/app:1`],
    environment,
  );
  t.is(fetched.code, 0, fetched.stderr);
  const [layer] = manifest.layers.map((one) => one.digest);
  return { directory, environment, digest, layer, path: `/v2/${registry.host}/team/app/manifests/1` };
}

type Environment = Readonly<Record<string, string>>;

/** Runs `serve` until it is interrupted. @returns the line that it prints when it is ready. */
async function start(t: ExecutionContext, environment: Environment, ...args: readonly string[]) {
  const [controller, output] = [new AbortController(), new PassThrough()];
  const ended = runHere(['serve', '--listen=127.0.0.1:0', ...args], environment, output, controller.signal);
  const first = await Promise.race([
    new Promise<string>((resolve) => output.once('data', (bytes: Buffer) => resolve(bytes.toString()))),
    ended.then(({ code, stderr }) => Promise.reject(new Error(`${code}: ${stderr}`))),
  ]);
  const stop = async () => {
    controller.abort();
    return ended;
  };
  t.teardown(async () => void (await stop()));
  return { line: first.trimEnd(), stop };
}

test('a store is served until a signal comes, and says where', async (t) => {
  const { environment, digest, path, directory } = await openStoreToServe(t);
  const { line, stop } = await start(t, environment, '--public');
  t.regex(line, /^http:\/\/127\.0\.0\.1:\d+$/);
  t.is((await ask(line, path)).headers['docker-content-digest'], digest);
  const { code, stderr } = await stop();
  t.is(code, 0);
  t.is(stderr, `warning: --public: every user of this machine can read all images of ${join(directory, 'store')}\n`);

  const json = await start(t, environment, '--public', '--output=json');
  const ready = fits(t, json.line) as { readonly schema: string; readonly url: string };
  t.is(ready.schema, 'longshore.serve/1');
  t.is((await ask(ready.url, '/v2/_catalog')).status, 404);
  t.is((await json.stop()).code, 0);
});

test('what others may not read is not served to them without a password', async (t) => {
  const { directory, environment, path } = await openStoreToServe(t);
  const refused = await runHere(['serve', '--listen=127.0.0.1:0'], environment);
  t.is(refused.code, 2);
  t.regex(refused.stderr, /USAGE: --listen: other users may not read .*give --auth, or --public/);
  const users = join(directory, 'users');
  await writeFile(users, [...usersOf({ node: 'secret' })].map(([user, hash]) => `${user}:${hash}\n`).join(''));
  const { line, stop } = await start(t, environment, '--auth', users);
  t.is((await ask(line, path)).status, 401);
  const authorization = `Basic ${Buffer.from('node:secret').toString('base64')}`;
  t.is((await ask(line, path, { headers: { authorization } })).status, 200);
  t.is((await stop()).stderr, '');
});

test('a store that others may read is served on loopback as it is', async (t) => {
  const { directory, environment, path } = await openStoreToServe(t);
  await chmod(directory, 0o755);
  const { line, stop } = await start(t, environment);
  t.is((await ask(line, path)).status, 200);
  t.like(await stop(), { code: 0, stderr: '' });
  /** A signal has come already, so it ends at once. */
  const isServed = async () =>
    (await runHere(['serve', '--listen=127.0.0.1:0'], environment, new PassThrough(), AbortSignal.abort())).code === 0;
  t.true(await isServed());
  const store = join(directory, 'store');
  for (const [part, mode] of [
    ['', 0o755],
    ['blobs', 0o755],
    ['blobs/sha256', 0o755],
    ['index.sqlite', 0o644],
  ] as const) {
    await chmod(join(store, part), mode & 0o770);
    t.false(await isServed(), part);
    await chmod(join(store, part), mode);
  }
  await mkdir(join(directory, 'closed'), { mode: 0o700 });
  await rename(store, join(directory, 'closed/store'));
  await symlink('closed/store', store);
  t.false(await isServed());
});

test('to other machines it is served over TLS and with passwords, or to everybody who asks', async (t) => {
  const { directory, environment } = await openStoreToServe(t);
  const at = (name: string) => join(directory, name);
  const { cert, key } = await makeCertificate(['127.0.0.1']);
  await writeFile(at('cert.pem'), cert);
  await writeFile(at('key.pem'), key, { mode: 0o600 });
  await writeFile(at('users'), `node:${usersOf({ node: 'a' }).get('node')}\n`);
  const serve = (...args: readonly string[]) => runHere(['serve', '--listen=0.0.0.0:0', ...args], environment);
  const refused = await serve();
  t.is(refused.code, 2);
  t.regex(refused.stderr, /other machines reach 0\.0\.0\.0.*give --cert, --key, --auth too, or --public/);
  t.regex((await serve('--auth', at('users'))).stderr, /give --cert, --key too/);
  t.regex((await serve('--cert', at('cert.pem'), '--key', at('key.pem'))).stderr, /give --auth too/);
  t.regex((await serve('--cert', at('cert.pem'))).stderr, /--key: a certificate and its key go together/);
  t.regex((await serve('--auth', at('none'))).stderr, /CONFIG_INVALID/);

  const secured = ['--cert', at('cert.pem'), '--key', at('key.pem'), '--auth', at('users'), '--listen=0.0.0.0:0'];
  const { line, stop } = await start(t, environment, ...secured);
  t.regex(line, /^https:\/\/0\.0\.0\.0:\d+$/);
  const url = line.replace('0.0.0.0', '127.0.0.1');
  t.is((await ask(url, '/v2/')).status, 401);
  t.is((await ask(url, '/healthz', { headers: { host: 'mirror.example.com' } })).status, 421);
  t.is((await stop()).stderr, '');
  await chmod(at('key.pem'), 0o604);
  const readable = await start(t, environment, ...secured);
  t.regex((await readable.stop()).stderr, /^warning: .*key\.pem can be read by others/);

  const open = await start(t, environment, '--public', '--listen=0.0.0.0:0', '--host=mirror.example.com', '--catalog');
  const openUrl = open.line.replace('0.0.0.0', '127.0.0.1');
  t.is((await ask(openUrl, '/v2/_catalog', { headers: { host: 'mirror.example.com' } })).status, 200);
  t.regex((await open.stop()).stderr, /everybody who reaches 0\.0\.0\.0 can read all images of/);
});

test('only what was verified is served, if that is asked for', async (t) => {
  const { environment, path } = await openStoreToServe(t);
  const lifted = await runHere(['serve', '--listen=127.0.0.1:0', '--public', '--verified-only'], environment);
  t.deepEqual([lifted.code, /--verified-only: --insecure-options=image accepts/.test(lifted.stderr)], [2, true]);
  const { line, stop } = await start(
    t,
    { ...environment, LONGSHORE_INSECURE_OPTIONS: 'none' },
    '--public',
    '--verified-only',
  );
  t.is((await ask(line, path)).status, 404);
  await stop();
  for (const option of ['--policy', '--trusted-root']) {
    const { code, stderr } = await runHere(['serve', `${option}=some.json`], environment);
    t.is(code, 2);
    t.regex(stderr, new RegExp(`USAGE: ${option}: it says what --verified-only serves`));
  }
});

test('a process ends with 0 after a signal, and at once after a second one', async (t) => {
  const { environment, path, layer } = await openStoreToServe(t, 24 * 2 ** 20); // more than a connection holds
  const begin = async () => {
    const child = spawn(process.execPath, [bin, 'serve', '--listen=127.0.0.1:0', '--public'], {
      env: { PATH: process.env['PATH'], NODE_COMPILE_CACHE: compileCache, ...environment },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    t.teardown(() => void child.kill('SIGKILL'));
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    return { child, ended: once(child, 'exit'), url: new URL(line.toString().trim()) };
  };
  const first = await begin();
  t.is((await ask(first.url.origin, path)).status, 200);
  first.child.kill('SIGTERM');
  t.deepEqual(await first.ended, [0, null]);

  const second = await begin();
  const socket = connect(Number(second.url.port), '127.0.0.1').on('error', () => undefined);
  socket.write(`GET ${path.replace(/manifests.*/, `blobs/${layer}`)} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
  await once(socket, 'readable'); // and nothing is read
  second.child.kill('SIGTERM');
  await until(() => isRefused(second.url));
  t.is(second.child.exitCode, null);
  second.child.kill('SIGTERM');
  t.deepEqual(await second.ended, [143, null]);
});

test('a node checks the signatures that the server has of an image, while the registry is off', async (t) => {
  const directory = await temporaryDirectory(t);
  const [registry, alice] = [await startRegistry(t), createCosignKey()];
  const image = registry.putImage('team/app', '1');
  const payload = payloadOf({ digest: image.digest, reference: `${registry.host}/team/app` });
  putSignatures(registry, 'team/app', image, [{ payload, signature: alice.sign(payload) }]);
  const environment = { ...environmentIn(directory), LONGSHORE_PLATFORM: 'linux/amd64', LONGSHORE_PROGRESS: 'none' };
  const name = `docker://${registry.host}/team/app:1`;
  await writeFile(join(directory, 'alice.pub'), alice.pem);
  const trust = ['trust', '--prefix', `${registry.host}/team`, '--fingerprint', alice.fingerprint];
  const trusted = await runHere([...trust, join(directory, 'alice.pub')], environment);
  t.is(trusted.code, 0, trusted.stderr);
  const seeded = await runHere(['fetch', '--keep=oci', '--referrers', name], environment);
  t.is(seeded.code, 0, seeded.stderr);
  for (const path of Object.keys(registry.routes)) registry.routes[path] = { status: 503 };

  const { line, stop } = await start(t, environment, '--public', '--verified-only');
  const fetched = await runHere(['fetch', '--keep=oci', '--output=json', name], {
    ...environment,
    ...{ LONGSHORE_RETRIES: '0', LONGSHORE_DIR: join(directory, 'node') },
    LONGSHORE_MIRROR: `${registry.host}=${line}`,
  });
  t.is(fetched.code, 0, fetched.stderr);
  t.like(JSON.parse(fetched.stdout), { images: [{ status: 'fetched', digest: image.digest }] });
  t.is((await stop()).code, 0);
});

const asRoot = process.getuid?.() === 0 ? test : test.skip;

asRoot('a user who may only read the store sees what others bring into it', async (t) => {
  const { directory, environment, path } = await openStoreToServe(t);
  const [registry, other] = [await startRegistry(t), 'team/other'];
  registry.putImage(other, '1');
  await chmod(directory, 0o755);
  const child = spawn(process.execPath, [bin, 'serve', '--listen=127.0.0.1:0'], {
    ...{ uid: 65_534, gid: 65_534, cwd: '/' },
    env: { ...environment, HOME: '/nonexistent' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => void child.kill('SIGKILL'));
  const [line] = (await Promise.race([once(child.stdout, 'data'), once(child.stderr, 'data')])) as [Buffer];
  const url = line.toString().trim();
  t.is((await ask(url, path)).status, 200, url);
  const later = `docker://${registry.host}/${other}:1`;
  const fetched = await runHere(
    ['fetch', '--keep=oci', '--platform=linux/amd64', '--progress=none', later],
    environment,
  );
  t.is(fetched.code, 0, fetched.stderr);
  await until(async () => (await ask(url, `/v2/${registry.host}/${other}/manifests/1`)).status === 200);
  t.is((await ask(url, path)).status, 200);
});

/** Whether nobody listens any more. */
function isRefused({ origin }: URL): Promise<boolean> {
  return ask(origin, '/healthz').then(
    () => false,
    () => true,
  );
}

test('options that cannot be meant, and a store that is not there, are said to be', async (t) => {
  const directory = await temporaryDirectory(t);
  const environment = environmentIn(directory);
  const serve = (...args: readonly string[]) => runHere(['serve', ...args], environment);
  for (const listen of ['5000', '127.0.0.1', '127.0.0.1:70000', ':5000', 'a b:1', '::1:5000'])
    t.regex((await serve(`--listen=${listen}`)).stderr, /USAGE: --listen: want HOST:PORT/, listen);
  t.regex((await serve('--host=http://a')).stderr, /USAGE: --host: want the name of a host/);
  const missing = await serve('--listen=127.0.0.1:0', '--public');
  t.deepEqual([missing.code, /FILE_NOT_FOUND: there is no store at/.test(missing.stderr)], [4, true]);
  await mkdir(environment.LONGSHORE_DIR);
  const { line, stop } = await start(t, environment, '--public');
  t.is((await ask(line, '/v2/app/tags/list')).status, 404);
  t.is((await stop()).code, 0);
});
