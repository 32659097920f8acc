import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync, zstdCompressSync } from 'node:zlib';

import test, { type ExecutionContext } from 'ava';

import { exportImages, type ManyExport } from '../../src/export/export-images.ts';
import { exportRegistryImage } from '../../src/images/export.ts';
import type { RegistryFormat } from '../../src/images/registry-layout.ts';
import type { RegistryImage } from '../../src/store/registry-store.ts';
import { buildTar } from '../helpers/archive.ts';
import { attachedTag, putAttached, serveReferrers } from '../helpers/attached.ts';
import type { TestDescriptor } from '../helpers/registry.ts';
import { openRegistryFetching } from '../helpers/registry-fetching.ts';
import { asJson, describe, digestOf, putBytes, putRegistryImage } from '../helpers/registry-image.ts';
import { sharedPool } from '../helpers/shared-pool.ts';
import { storeContext } from '../helpers/store-context.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const execute = promisify(execFile);
const never = new AbortController().signal;
const reference = 'docker.io/library/app:1';

async function run(program: string, ...args: readonly string[]): Promise<string> {
  return (await execute(program, args)).stdout;
}

function lacks(...programs: readonly string[]): readonly string[] {
  return programs.filter((program) => spawnSync(program, ['--version']).status !== 0);
}

/** Skipped, and the name says why, where a program is not installed. */
function testWith(programs: readonly string[], title: string, body: (t: ExecutionContext) => Promise<void>): void {
  const missing = lacks(...programs);
  if (missing.length === 0) test(title, body);
  else test.skip(`${title} (not installed: ${missing.join(', ')})`, body);
}

function toDirectory(image: RegistryImage, target: string): ManyExport {
  return { selection: { images: [image], archives: [] }, target: { kind: 'directory', target, overwrite: false } };
}

/** An image of two layers, each with a file, and the ways to write it. The upper one is gzipped, or zstd. */
async function exporter(t: ExecutionContext, upper: 'gzip' | 'zstd') {
  const context = await storeContext(t);
  const { store } = context;
  const tars = await Promise.all(['one', 'two'].map((name) => buildTar([{ name, content: name.repeat(50_000) }])));
  const compress = upper === 'gzip' ? gzipSync : zstdCompressSync;
  const [lower, higher] = [gzipSync(tars[0] ?? ''), compress(tars[1] ?? '')];
  const rootfs = { type: 'layers', diff_ids: tars.map(digestOf) };
  const config = asJson({ os: 'linux', architecture: 'amd64', config: { Env: ['A=B'] }, rootfs });
  const layers = [
    describe('application/vnd.oci.image.layer.v1.tar+gzip', lower),
    describe(`application/vnd.oci.image.layer.v1.tar+${upper}`, higher),
  ];
  const type = 'application/vnd.oci.image.manifest.v1+json';
  const parts = { config: describe('application/vnd.oci.image.config.v1+json', config), layers };
  const manifest = asJson({ schemaVersion: 2, mediaType: type, ...parts });
  for (const bytes of [lower, higher, config, manifest]) await putBytes(store, bytes);
  const blobs = [lower, higher, config].map(digestOf);
  const image = await putRegistryImage(store, { reference, manifest: describe(type, manifest), blobs });

  const dir = await temporaryDirectory(t);
  return {
    dir,
    image,
    tars,
    file: async (format: RegistryFormat): Promise<string> => {
      const target = join(dir, `${format}.tar`);
      await exportRegistryImage(context, { image, format, target, overwrite: false }, never);
      return target;
    },
    directory: async (): Promise<string> => {
      const target = join(dir, 'layout');
      await exportImages(context, toDirectory(image, target), never);
      return target;
    },
  };
}

testWith(['skopeo'], 'skopeo inspects an OCI archive and a layout by the reference', async (t) => {
  const { image, file, directory } = await exporter(t, 'zstd');
  const expected = { Digest: image.manifest.digest, Os: 'linux', Architecture: 'amd64', Env: ['A=B'] };
  t.like(JSON.parse(await run('skopeo', 'inspect', `oci-archive:${await file('oci')}:${reference}`)), expected);
  t.like(JSON.parse(await run('skopeo', 'inspect', `oci:${await directory()}:${reference}`)), expected);
});

testWith(['skopeo'], 'skopeo inspects a docker archive by its tag, whose layers are those of the image', async (t) => {
  const { file, tars } = await exporter(t, 'zstd');
  const inspected = await run('skopeo', 'inspect', `docker-archive:${await file('docker')}:${reference}`);
  t.like(JSON.parse(inspected), { Os: 'linux', Architecture: 'amd64', Env: ['A=B'], Layers: tars.map(digestOf) });
});

testWith(['skopeo', 'umoci'], 'what skopeo copies out of each of them umoci unpacks to the same files', async (t) => {
  const { dir, file, directory } = await exporter(t, 'gzip');
  const sources = [
    `oci-archive:${await file('oci')}`,
    `docker-archive:${await file('docker')}`,
    `oci:${await directory()}`,
  ];
  for (const [position, source] of sources.entries()) {
    const copy = join(dir, `copy-${position}`);
    await run('skopeo', '--insecure-policy', 'copy', `${source}:${reference}`, `oci:${copy}:app`);
    await run('umoci', 'unpack', '--rootless', '--image', `${copy}:app`, `${copy}-bundle`);
    for (const name of ['one', 'two']) t.true(existsSync(join(`${copy}-bundle`, 'rootfs', name)), source);
  }
});

testWith(
  ['skopeo'],
  'a layout has what is attached to the image, and skopeo still finds both by their names',
  async (t) => {
    const { registry, reference: at, fetch, store, directory } = await openRegistryFetching(t);
    const app = registry.putImage('app', '1');
    const sbom = putAttached(registry, 'app', { to: app });
    const signature = putAttached(registry, 'app', { tag: attachedTag(app, '.sig') });
    serveReferrers(registry, 'app', { to: app, manifests: [sbom] });
    await fetch(at('app:1'), { referrers: true, keep: 'oci' });
    const listed = await store.findRegistryImage(`${registry.host}/app:1`);
    if (!listed) return t.fail();

    const layout = join(directory, 'layout');
    const request = { image: listed, overwrite: false };
    await exportImages({ store, pool: sharedPool }, toDirectory(listed, layout), never);
    const named = async (name: string): Promise<unknown> =>
      JSON.parse(await run('skopeo', 'inspect', '--raw', `oci:${layout}:${registry.host}/${name}`));
    t.deepEqual(await named('app:1'), app.manifest);
    t.is(
      digestOf(
        Buffer.from(
          await run('skopeo', 'inspect', '--raw', `oci:${layout}:${registry.host}/app:${attachedTag(app, '.sig')}`),
        ),
      ),
      signature.digest as never,
    );
    await run(
      'skopeo',
      'copy',
      '--insecure-policy',
      `oci:${layout}:${registry.host}/app:1`,
      `dir:${join(directory, 'copy')}`,
    );
    const { manifests } = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as {
      readonly manifests: readonly TestDescriptor[];
    };
    t.like(manifests[1], { digest: sbom.digest, size: sbom.size, artifactType: 'application/vnd.example.sbom' });
    t.is(manifests.length, 3);
    for (const { digest, size } of manifests)
      t.is((await readFile(join(layout, 'blobs/sha256', digest.slice(7)))).length, size);

    const archive = join(directory, 'app.tar');
    await exportRegistryImage({ store, pool: sharedPool }, { ...request, format: 'oci', target: archive }, never);
    t.deepEqual(JSON.parse(await run('skopeo', 'inspect', '--raw', `oci-archive:${archive}`)), app.manifest);
  },
);
