import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { gzipSync, zstdCompressSync } from 'node:zlib';

import test, { type ExecutionContext } from 'ava';

import type { Digest } from '../../src/image/digest.ts';
import { openStore } from '../../src/store/open-store.ts';
import type { Store } from '../../src/store/store.ts';
import { buildTar } from '../helpers/archive.ts';
import { asJson, describe, digestOf, putBytes, putRegistryImage } from '../helpers/registry-image.ts';
import { runHere } from '../helpers/run-here.ts';
import { temporaryDirectory } from '../helpers/stored.ts';
import { until } from '../helpers/until.ts';

const types = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
};
const linux = (architecture: string) => ({ os: 'linux', architecture });

/** An image of two layers, of which the lower one is that of all others. Of some the upper one is packed with zstd. */
async function putParts(store: Store, number: number, architecture = 'amd64') {
  const [packing, pack] = number % 2 === 0 ? (['gzip', gzipSync] as const) : (['zstd', zstdCompressSync] as const);
  const tars = [
    await buildTar([{ name: 'base', content: 'base' }]),
    await buildTar([{ name: `${number}`, content: architecture }]),
  ] as const;
  const layers = [gzipSync(tars[0]), pack(tars[1])];
  const rootfs = { type: 'layers', diff_ids: tars.map(digestOf) };
  const config = asJson({ ...linux(architecture), config: { Env: [`NUMBER=${number}`] }, rootfs });
  const described = layers.map((layer, at) => describe(`${types.layer}+${at === 0 ? 'gzip' : packing}`, layer));
  const manifest = asJson({
    schemaVersion: 2,
    mediaType: types.manifest,
    config: describe(types.config, config),
    layers: described,
  });
  const all = [...layers, config, manifest];
  for (const bytes of all) if (!(await store.hasBlob(digestOf(bytes)))) await putBytes(store, bytes);
  return { manifest: describe(types.manifest, manifest), blobs: all.map(digestOf), config: digestOf(config) };
}

type Made = { readonly reference: string; readonly digest: Digest; readonly config: Digest };

async function putOne(store: Store, number: number, named = `docker.io/library/x:${number}`): Promise<Made> {
  const { config, ...parts } = await putParts(store, number);
  const reference = named.endsWith('@') ? named + parts.manifest.digest : named;
  const source = `docker://${reference}`;
  const latest = reference.endsWith(':latest');
  const { manifest } = await putRegistryImage(store, { reference, source, latest, ...parts });
  return { reference, digest: manifest.digest, config };
}

/** An index with all of its images, to which something is attached. */
async function putWhole(store: Store, reference: string): Promise<Made> {
  const [amd, arm] = [await putParts(store, 10_000), await putParts(store, 10_000, 'arm64')];
  const manifests = [
    { ...amd.manifest, platform: linux('amd64') },
    { ...arm.manifest, platform: linux('arm64') },
  ];
  const index = asJson({ schemaVersion: 2, mediaType: types.index, manifests });
  const [empty, sbom] = [Buffer.from('{}'), Buffer.from('what is in it')];
  const attached = asJson({
    ...{ schemaVersion: 2, mediaType: types.manifest, artifactType: 'text/plain' },
    ...{ config: describe('application/vnd.oci.empty.v1+json', empty), layers: [describe('text/plain', sbom)] },
    subject: describe(types.index, index),
  });
  for (const bytes of [index, empty, sbom, attached]) await putBytes(store, bytes);
  await putRegistryImage(store, {
    ...{ reference, source: `docker://${reference}`, manifest: describe(types.index, index) },
    ...{ platforms: [linux('amd64'), linux('arm64')], platform: { os: '', architecture: '' } },
    blobs: [...amd.blobs, ...arm.blobs, ...[index, empty, sbom, attached].map(digestOf)],
    referrers: [{ ...describe(types.manifest, attached), artifactType: 'text/plain', subject: digestOf(index) }],
  });
  return { reference, digest: digestOf(index), config: amd.config };
}

/** A store with so many images, of several kinds. */
async function makeStore(dir: string, count: number) {
  await using store = await openStore({ dir });
  const numbers = Array.from({ length: count - 3 }, (_, number) => number);
  const first = await putOne(store, 0);
  const images = [
    first,
    ...(await Promise.all(numbers.slice(1).map((number) => putOne(store, number)))),
    await putOne(store, count, 'localhost:5000/team/app:latest'),
    await putOne(store, count + 1, 'quay.io/team/pinned@'),
    await putWhole(store, 'ghcr.io/acme/whole:1'),
  ];
  return { dir, images };
}

const parent = await mkdtemp(join(tmpdir(), 'longshore-test-'));
const many = makeStore(join(parent, 'many'), 200);
test.after.always(() => rm(parent, { recursive: true, force: true }));

/** Skipped, and the name says why, where a program is not installed or the user may not do it. */
function testWith(program: string, title: string, body: (t: ExecutionContext) => Promise<void>): void {
  const isThere = spawnSync(program, ['--version']).status === 0;
  if (isThere && process.getuid?.() === 0) test.serial(title, body);
  else test.skip(`${title} (${isThere ? 'for root only' : `not installed: ${program}`})`, body);
}

/** Exports into the standard input of a program. @returns its output */
async function pipeInto(t: ExecutionContext, program: readonly string[], options: readonly string[]): Promise<string> {
  const [name = '', ...args] = program;
  const child = spawn(name, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const ended = Promise.all([once(child, 'exit'), text(child.stdout), text(child.stderr)]);
  const { code, stderr } = await runHere(['image', 'export', ...options, '-'], {}, child.stdin);
  t.is(code, 0, stderr);
  child.stdin.end();
  const [exit, printed, errors] = await ended;
  t.deepEqual(exit, [0, null], errors);
  return printed;
}

/** A containerd of its own. */
async function startContainerd(t: ExecutionContext) {
  const directory = await temporaryDirectory(t);
  const at = (file: string): string => join(directory, file);
  const settings = [
    'version = 2',
    `root = "${at('root')}"`,
    `state = "${at('state')}"`,
    'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
    `[grpc]\naddress = "${at('grpc.sock')}"`,
    `[ttrpc]\naddress = "${at('ttrpc.sock')}"`,
  ];
  await writeFile(at('config.toml'), settings.join('\n'));
  const daemon = spawn('containerd', ['--config', at('config.toml'), '--log-level', 'error'], { stdio: 'ignore' });
  t.teardown(() => end(daemon));
  await until(() => existsSync(at('grpc.sock')) || daemon.exitCode !== null);
  return (...args: readonly string[]) => ['ctr', '--address', at('grpc.sock'), ...args];
}

async function end(daemon: ChildProcess): Promise<void> {
  if (daemon.exitCode !== null || !daemon.kill()) return;
  await once(daemon, 'exit');
}

function output(program: readonly string[]): string {
  const [name = '', ...args] = program;
  return spawnSync(name, args, { encoding: 'utf8', maxBuffer: 2 ** 26 }).stdout;
}

testWith(
  'containerd',
  'containerd imports 200 images from a pipe, under the names they were asked for by, with the same digests',
  async (t) => {
    const { dir, images } = await many;
    const ctr = await startContainerd(t);
    await pipeInto(t, ctr('-n', 'k8s.io', 'images', 'import', '--no-unpack', '-'), ['--all', '--dir', dir]);
    const rows = output(ctr('-n', 'k8s.io', 'images', 'list'))
      .trim()
      .split('\n')
      .slice(1);
    const found = rows.map((row) => row.split(/\s+/)).map(([name, , digest]) => `${name} ${digest}`);
    t.deepEqual(found.sort(), images.map(({ reference, digest }) => `${reference} ${digest}`).sort());
  },
);

testWith('containerd', 'containerd unpacks what it has imported, also from a bundle', async (t) => {
  const { dir, images } = await many;
  const ctr = await startContainerd(t);
  for (const [format, namespace] of [
    ['oci-archive', 'one'],
    ['bundle', 'two'],
  ] as const) {
    const load = ctr('-n', namespace, 'images', 'import', '--snapshotter', 'native', '-');
    const named = images.slice(-6).map(({ reference }) => reference);
    const printed = await pipeInto(t, load, [`--format=${format}`, ...named, '--dir', dir]);
    for (const name of named) t.true(printed.includes(`unpacking ${name} `), name);
    t.deepEqual(
      output(ctr('-n', namespace, 'images', 'list', '-q'))
        .trim()
        .split('\n'),
      named.sort(),
    );
  }
});

testWith('podman', 'podman loads 200 images at once from an archive of docker, with their names and IDs', async (t) => {
  const { dir, images } = await many;
  const directory = await temporaryDirectory(t);
  const own = ['--root', join(directory, 'root'), '--runroot', join(directory, 'run'), '--storage-driver', 'vfs'];
  const podman = (...args: readonly string[]) => ['podman', ...own, '--events-backend', 'none', ...args];
  await pipeInto(t, podman('load', '--quiet'), ['--all', '--format=docker-archive', '--dir', dir]);
  type Row = { readonly Id: string; readonly Names: readonly string[] | null };
  const rows = JSON.parse(output(podman('images', '--all', '--format', 'json'))) as readonly Row[];
  const found = rows.map(({ Id, Names }) => `${Names?.[0] ?? 'unnamed'} sha256:${Id}`);
  const nameOf = (reference: string): string => (reference.includes('@') ? 'unnamed' : reference);
  t.deepEqual(found.sort(), images.map(({ reference, config }) => `${nameOf(reference)} ${config}`).sort());

  const { reference = '', config = '' } = images[1] ?? {};
  const loaded = await pipeInto(t, podman('load', '--quiet'), [reference, '--dir', dir]);
  t.is(loaded.trim(), `Loaded image: ${reference}`, 'one image as an OCI archive');
  t.is(output(podman('image', 'inspect', '--format', '{{.Id}}', reference)).trim(), config.slice('sha256:'.length));
});

test.serial(
  '200 images go through a bundle into a second store with the same digests, and out of it as the same bytes',
  async (t) => {
    const { dir, images } = await many;
    const directory = await temporaryDirectory(t);
    const at = (file: string): string => join(directory, file);
    const longshore = async (...args: readonly string[]): Promise<string> => {
      const { code, stdout, stderr } = await runHere(args);
      t.is(code, 0, stderr);
      return stdout;
    };
    await longshore('image', 'export', '--all', '--format=bundle', at('first.tar'), '--dir', dir);
    const second = at('second');
    await longshore('image', 'import', at('first.tar'), '--insecure-options=image', '--progress=none', '--dir', second);
    type Row = { readonly reference: string; readonly digest: string };
    const listed = JSON.parse(await longshore('image', 'list', '--output=json', '--dir', second)) as {
      readonly images: readonly Row[];
    };
    const found = listed.images.map(({ reference, digest }) => `${reference} ${digest}`);
    t.deepEqual(found.sort(), images.map(({ reference, digest }) => `${reference} ${digest}`).sort());
    await longshore('image', 'verify', '--dir', second);
    await longshore('image', 'export', '--all', '--format=bundle', at('second.tar'), '--dir', second);
    t.true((await readFile(at('first.tar'))).equals(await readFile(at('second.tar'))));
  },
);
