import { execFile } from 'node:child_process';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';

import test, { type ExecutionContext } from 'ava';

import type { Http } from '../../src/http/contract.ts';
import { buildTar } from '../helpers/archive.ts';
import { type DockerRegistry, type Layer, startDockerRegistry } from '../helpers/docker-registry.ts';
import { openTestHttp } from '../helpers/http.ts';
import { describe, type TestDescriptor, types } from '../helpers/registry.ts';
import { openShell } from '../helpers/shell.ts';

const signal = AbortSignal.timeout(3_600_000);
const run = promisify(execFile);

/** `LONGSHORE_KILLS=30` for a long run, in which skopeo reads all images and not each tenth. */
const kills = Number(process.env['LONGSHORE_KILLS'] ?? 5);

const fetched = 'longshore fetch --progress=none --keep=oci --platform=linux/amd64 --insecure-options=image';

async function layer(bytes: number): Promise<Layer> {
  const tar = await buildTar([{ name: 'file', content: randomBytes(bytes) }]);
  return { bytes: gzipSync(tar, { level: 1 }), diffId: `sha256:${createHash('sha256').update(tar).digest('hex')}` };
}

/** Puts images into a registry that have the layers of `shared` and two of their own. @returns their digests by name */
async function fill(
  registry: DockerRegistry,
  shared: readonly Layer[],
  count: number,
): Promise<ReadonlyMap<string, string>> {
  const digests = new Map<string, string>();
  for (let index = 0; index < count; index += 1) {
    const layers = [...shared, await layer(5000), await layer(60_000)];
    digests.set(`team/app-${index}:1`, await putImage(registry, `team/app-${index}`, '1', layers));
  }
  return digests;
}

/** @returns the digest of its manifest */
function putImage(
  registry: DockerRegistry,
  repository: string,
  tag: string,
  layers: readonly Layer[],
): Promise<string> {
  const rootfs = { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) };
  const config = Buffer.from(JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs }));
  const manifest = {
    ...{ schemaVersion: 2, mediaType: types.manifest, config: describe(config, types.config) },
    layers: layers.map(({ bytes }) => describe(bytes, types.layer)),
  };
  const blobs = [config, ...layers.map(({ bytes }) => bytes)];
  return registry.put(repository, tag, Buffer.from(JSON.stringify(manifest)), blobs);
}

/** What skopeo reads of all images below `path`. @returns the digests of their manifests by name, which has no `path` */
async function digestsBySkopeo(
  host: string,
  path: string,
  names: readonly string[],
  directory: string,
): Promise<ReadonlyMap<string, string>> {
  const wanted = names.map((name) => name.split(':'));
  const images = Object.fromEntries(wanted.map(([repository, tag]) => [`${path}/${repository}`, [tag]]));
  await writeFile(join(directory, 'sync.yaml'), JSON.stringify({ [host]: { 'tls-verify': false, images } }));
  const to = join(directory, 'synced');
  await mkdir(to);
  await skopeo(directory, ['sync', '--src', 'yaml', '--dest', 'dir', '--scoped', join(directory, 'sync.yaml'), to]);
  const digest = async (name: string): Promise<[string, string]> => {
    const manifest = await readFile(join(to, host, path, name, 'manifest.json'));
    return [name, describe(manifest, types.manifest).digest];
  };
  return new Map(await Promise.all(names.map(digest)));
}

async function skopeo(home: string, args: readonly string[]): Promise<void> {
  const env = { ...process.env, HOME: home, XDG_RUNTIME_DIR: home };
  await run('skopeo', ['--insecure-policy', ...args], { env });
}

/** A store with all images, and a registry that has none of them. */
async function prepare(t: ExecutionContext, shared: readonly Layer[], count: number) {
  const from = await startDockerRegistry(t);
  const to = from && (await startDockerRegistry(t));
  if (!to) return undefined;
  const shell = await openShell(t);
  const digests = await fill(from, shared, count);
  const list = [...digests.keys()].map((name) => `docker://${from.host}/${name}\n`).join('');
  await writeFile(join(shell.directory, 'list.txt'), list);
  from.takeSent();
  const { code, stderr } = await shell.run(`${fetched} -f list.txt`);
  t.is(code, 0, stderr);
  return { from, to, digests, ...shell };
}

test('200 images that share layers: from a registry to the store to another, each digest the same, each blob once over each wire', async (t) => {
  t.timeout(900_000);
  const shared = await Promise.all(Array.from({ length: 3 }, () => layer(20_000)));
  const prepared = await prepare(t, shared, 200);
  if (!prepared) return;
  const { from, to, digests, directory, run: shell } = prepared;
  const sent = from.takeSent();
  t.is(sent.length, new Set(sent).size);

  const pushed = await shell(`longshore push --progress=none -f list.txt --to docker://${to.host}/mirror`);
  t.is(pushed.code, 0, pushed.stderr);
  t.is(
    pushed.stdout,
    [...digests].map(([name, digest]) => `${to.host}/mirror/${name.replace(':1', '')}@${digest}\n`).join(''),
  );
  const received = to.takeReceived();
  t.is(received.length, new Set(received).size);
  t.is(received.length, 3 + 3 * digests.size);
  t.is(await checkTags(openTestHttp(t), `${to.host}/v2/mirror`, digests), digests.size);
  const some = new Map([...digests].filter((_, at) => kills >= 30 || at % 10 === 0));
  t.deepEqual(await digestsBySkopeo(to.host, 'mirror', [...some.keys()], directory), some);

  const again = await shell(`longshore push --output=json --progress=none --all --to docker://${to.host}/mirror`);
  t.is(again.code, 0, again.stderr);
  t.like(JSON.parse(again.stdout), { totals: { images: 200, present: 200, blobsUploaded: 0 } });
  t.deepEqual(to.takeReceived(), []);
});

test('killed at any instant, a push leaves no tag that points to something incomplete, and the next run completes it', async (t) => {
  t.timeout(600_000 + kills * 60_000);
  const shared = [...(await Promise.all(Array.from({ length: 4 }, () => layer(20_000)))), await layer(20_000_000)];
  const prepared = await prepare(t, shared, 30);
  if (!prepared) return;
  const { to, digests, run: shell, start } = prepared;
  const http = openTestHttp(t);
  for (let kill = 0; kill < kills; kill += 1) {
    // a prefix of its own, so that each push has everything to do
    const push = `longshore push --progress=none -f list.txt --to docker://${to.host}/run-${kill}`;
    const { child, result } = start(`exec ${push} --limit-rate=17M`);
    await sleep(randomInt(300, 3500));
    child.kill('SIGKILL');
    await result;
    await t.notThrowsAsync(checkTags(http, `${to.host}/v2/run-${kill}`, digests), `kill ${kill}`);
    const last = await shell(push);
    t.is(last.code, 0, `kill ${kill}: ${last.stderr}`);
    t.is(await checkTags(http, `${to.host}/v2/run-${kill}`, digests), digests.size);
  }
});

/** Checks that each tag that is there has its digest and all its blobs. @returns how many tags are there */
async function checkTags(
  http: Pick<Http, 'getDocument'>,
  at: string,
  digests: ReadonlyMap<string, string>,
): Promise<number> {
  const limit = { name: 'registryManifest', bytes: 1024 * 1024 };
  const ask = (url: string, method: 'GET' | 'HEAD') =>
    http.getDocument({ url, method, limit, statuses: [200, 404], headers: { accept: types.manifest } }, signal);
  const check = async ([name, digest]: readonly [string, string]): Promise<boolean> => {
    const [repository = '', tag = ''] = name.split(':');
    const url = `http://${at}/${repository}`;
    const { status, body } = await ask(`${url}/manifests/${tag}`, 'GET');
    if (status === 404) return false;
    const found = `sha256:${createHash('sha256').update(body).digest('hex')}`;
    if (found !== digest) throw new Error(`${name}: ${found}`);
    const manifest = JSON.parse(Buffer.from(body).toString()) as Manifest;
    for (const blob of [manifest.config, ...manifest.layers]) {
      const answer = await ask(`${url}/blobs/${blob.digest}`, 'HEAD');
      if (answer.status !== 200 || Number(answer.headers['content-length']) !== blob.size)
        throw new Error(`${name}: ${blob.digest}: ${answer.status}`);
    }
    return true;
  };
  return (await Promise.all(Array.from(digests, check))).filter(Boolean).length;
}

type Manifest = { readonly config: TestDescriptor; readonly layers: readonly TestDescriptor[] };
