import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';

import test from 'ava';

import { buildTar } from '../helpers/archive.ts';
import { type Files, hexOf, layoutOfImages, makeImage, tarOf } from '../helpers/carried.ts';
import { openImporting, statusOf, writeLayout } from '../helpers/importing.ts';
import { asJson, describe, digestOf } from '../helpers/registry-image.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const run = promisify(execFile);

const one = await makeImage('one');
const two = await makeImage('two');

/** The manifest that containerd makes of an image that docker saved. */
function manifestOf({ config, layer }: Pick<typeof one, 'config' | 'layer'>, packing = ''): string {
  const bytes = asJson({
    schemaVersion: 2,
    mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
    config: describe('application/vnd.docker.container.image.v1+json', config),
    layers: [describe(`application/vnd.docker.image.rootfs.diff.tar${packing}`, layer)],
  });
  return digestOf(bytes);
}

type Saved = {
  readonly Config: string;
  readonly RepoTags: readonly string[] | null;
  readonly Layers: readonly string[];
};

function savedAs(images: readonly Saved[], files: Files): Files {
  return { ...files, 'manifest.json': asJson(images) };
}

const configFile = `${hexOf(one.config)}.json`;
const layerFile = `${hexOf(one.layer)}.tar`;

test('images that docker, podman, skopeo, buildah and kaniko save are kept with the same manifest', async (t) => {
  const id = 'f'.repeat(64);
  const RepoTags = ['busybox:1'];
  const old = savedAs([{ Config: configFile, RepoTags, Layers: [`${id}/layer.tar`] }], {
    [configFile]: one.config,
    [`${id}/VERSION`]: Buffer.from('1.0'),
    [`${id}/json`]: Buffer.from('{}'),
    [`${id}/layer.tar`]: one.layer,
    repositories: asJson({ busybox: { 1: id } }),
  });
  const skopeo = savedAs([{ Config: configFile, RepoTags, Layers: [layerFile] }], {
    [configFile]: one.config,
    [layerFile]: one.layer,
  });
  const linked = savedAs([{ Config: configFile, RepoTags, Layers: [`${id}/layer.tar`] }], {
    [configFile]: one.config,
    [layerFile]: one.layer,
  });
  const kaniko = savedAs(
    [{ Config: `sha256:${hexOf(one.config)}`, RepoTags: ['index.docker.io/library/busybox:1'], Layers: [layerFile] }],
    {
      [`sha256:${hexOf(one.config)}`]: one.config,
      [layerFile]: one.layer,
    },
  );
  const tars = [
    await tarOf(old),
    await tarOf(skopeo),
    await tarOf(linked, [{ name: `${id}/layer.tar`, type: 'symlink', linkname: `../${layerFile}` }]),
    await buildTar([
      { name: `${id}/layer.tar`, type: 'link', linkname: layerFile },
      ...Object.entries(linked).map(([name, content]) => ({ name, content })),
    ]),
    await tarOf(kaniko),
  ];
  for (const tar of tars) {
    const { take, listed } = await openImporting(t);
    t.deepEqual(statusOf(await take(tar)), ['docker://docker.io/library/busybox:1 fetched']);
    t.deepEqual(await listed(), { 'docker.io/library/busybox:1': manifestOf(one) });
  }
});

test('a layer that is packed is checked by what is in it, and stays packed', async (t) => {
  const { take, listed } = await openImporting(t);
  const packed = gzipSync(one.layer);
  const file = `${hexOf(packed)}.tar.gz`;
  const saved = (layer: Uint8Array): Files =>
    savedAs([{ Config: configFile, RepoTags: ['app:1'], Layers: [file] }], { [configFile]: one.config, [file]: layer });
  t.deepEqual(statusOf(await take(await tarOf(saved(gzipSync(two.layer))))), ['app:1 DIGEST_MISMATCH']);
  await take(await tarOf(saved(packed)));
  t.deepEqual(await listed(), { 'docker.io/library/app:1': manifestOf({ ...one, layer: packed }, '.gzip') });
});

test('one layer for several images, and several times in one, is there once', async (t) => {
  const { take, listed } = await openImporting(t);
  const config = asJson({
    ...{ os: 'linux', architecture: 'amd64' },
    rootfs: { type: 'layers', diff_ids: [digestOf(one.layer), digestOf(one.layer)] },
  });
  const images = [
    { Config: configFile, RepoTags: ['app:1', 'app:also'], Layers: [layerFile] },
    { Config: `${hexOf(config)}.json`, RepoTags: ['app:twice'], Layers: [layerFile, layerFile] },
  ];
  await take(
    await tarOf(
      savedAs(images, { [configFile]: one.config, [`${hexOf(config)}.json`]: config, [layerFile]: one.layer }),
    ),
  );
  t.deepEqual(
    Object.keys(await listed()).sort(),
    ['1', 'also', 'twice'].map((tag) => `docker.io/library/app:${tag}`),
  );
});

test('what is wrong with one saved image fails that image alone', async (t) => {
  const { take, listed } = await openImporting(t);
  const altered = asJson({
    os: 'linux',
    architecture: 'arm64',
    rootfs: { type: 'layers', diff_ids: [digestOf(one.layer)] },
  });
  const images = [
    { Config: configFile, RepoTags: ['good:1'], Layers: [layerFile] },
    { Config: `${hexOf(two.config)}.json`, RepoTags: ['altered:1'], Layers: [layerFile] },
    { Config: configFile, RepoTags: ['other:1'], Layers: ['other.tar'] },
    { Config: configFile, RepoTags: ['absent:1'], Layers: ['absent/layer.tar'] },
    { Config: configFile, RepoTags: ['more:1'], Layers: [layerFile, layerFile] },
    { Config: configFile, RepoTags: ['away:1'], Layers: ['away.tar'] },
    { Config: configFile, RepoTags: null, Layers: ['around.tar'] },
  ];
  const files = {
    [configFile]: one.config,
    [`${hexOf(two.config)}.json`]: altered,
    [layerFile]: one.layer,
    'other.tar': two.layer,
  };
  const links = [
    { name: 'away.tar', type: 'symlink', linkname: '../../etc/passwd' },
    { name: 'around.tar', type: 'symlink', linkname: 'around.tar' },
  ] as const;
  const outcomes = await take(await tarOf(savedAs(images, files), links));
  t.deepEqual([...statusOf(outcomes)].sort(), [
    'absent:1 ARCHIVE_UNREADABLE',
    'altered:1 DIGEST_MISMATCH',
    'an image without a name ARCHIVE_UNREADABLE',
    'away:1 ARCHIVE_INVALID',
    'docker://docker.io/library/good:1 fetched',
    'more:1 MANIFEST_INVALID',
    'other:1 DIGEST_MISMATCH',
  ]);
  t.deepEqual(Object.keys(await listed()), ['docker.io/library/good:1']);
});

test('an archive of docker that is a layout as well is read as that: the manifests are those that the images came with', async (t) => {
  const { take, listed } = await openImporting(t);
  const layout = layoutOfImages({ 'docker.io/library/app:1': one });
  const path = (bytes: Uint8Array): string => `blobs/sha256/${hexOf(bytes)}`;
  await take(
    await tarOf(savedAs([{ Config: path(one.config), RepoTags: ['app:1'], Layers: [path(one.packed)] }], layout)),
  );
  t.deepEqual(await listed(), { 'docker.io/library/app:1': one.manifest.digest });
});

test('what skopeo writes is read, as docker and as OCI', async (t) => {
  const directory = await temporaryDirectory(t);
  const layout = await writeLayout(directory, layoutOfImages({ 'example.com/app:1': one }));
  const skopeo = (...args: readonly string[]) =>
    run('skopeo', ['copy', '--insecure-policy', '--quiet', ...args], { timeout: 60_000 });
  const from = `oci:${layout}:example.com/app:1`;
  await skopeo(from, `docker-archive:${join(directory, 'saved.tar')}:example.com/app:1`);
  await skopeo(from, `oci-archive:${join(directory, 'oci.tar')}:example.com/app:1`);
  await skopeo(from, `oci:${join(directory, 'copy')}:v1`);
  const saved = await openImporting(t);
  await saved.take(await readFile(join(directory, 'saved.tar')));
  t.deepEqual(await saved.listed(), { 'example.com/app:1': manifestOf(one) });
  for (const source of [await readFile(join(directory, 'oci.tar')), join(directory, 'copy')]) {
    const { take, listed } = await openImporting(t);
    await take(source, { as: 'example.com/app' });
    t.deepEqual(Object.values(await listed()), [one.manifest.digest]);
  }
});
