import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

import { pack } from 'tar-stream';

import { defaultLabels, toGoPlatform } from '../internal.ts';
import { sampleContent } from '../sample/archive.ts';

const compress = promisify(gzip);
const layersOfEach = 4;
const tag = '1.0';

/** A blob and its descriptor. */
type Part = {
  readonly bytes: Buffer;
  readonly descriptor: { readonly mediaType: string; readonly digest: string; readonly size: number };
};

export type Corpus = {
  /** The requests, once the images are served at a URL. */
  readonly requests: (origin: string) => readonly string[];
  /** The size of all archives or blobs in bytes. */
  readonly packedBytes: number;
};

/** Makes images below `files/v2`, where plain files serve as the answers of a registry. */
export async function makeRegistryCorpus(
  {
    images,
    size,
    compressibility,
  }: { readonly images: number; readonly size: number; readonly compressibility: number },
  files: string,
  signal: AbortSignal,
): Promise<Corpus> {
  const repositories = Array.from({ length: images }, (_, index) => `bench/image-${String(index).padStart(5, '0')}`);
  const about = { bytes: Math.ceil(size / layersOfEach), noise: 1 - compressibility / 100 };
  let packedBytes = 0;
  await mkdir(join(files, 'v2'));
  await writeFile(join(files, 'v2/index'), '{}'); // clients request this first, to see that it is a registry
  for (const repository of repositories) {
    signal.throwIfAborted();
    packedBytes += await publish(join(files, 'v2', repository), repository, about);
  }
  return {
    requests: (origin) => repositories.map((repository) => `docker://${new URL(origin).host}/${repository}:${tag}`),
    packedBytes,
  };
}

async function publish(
  directory: string,
  name: string,
  about: { readonly bytes: number; readonly noise: number },
): Promise<number> {
  const layers = await Promise.all(
    Array.from({ length: layersOfEach }, (_, number) => buildLayer(`${name}/${number}`, { number, ...about })),
  );
  const arch = defaultLabels(new Map(), process).get('arch') ?? '';
  const { os, architecture } = toGoPlatform({ os: 'linux', arch }); // the default platform of a fetch
  const rootfs = { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) };
  const config = jsonPart({ os, architecture, rootfs }, 'application/vnd.oci.image.config.v1+json');
  const manifest = jsonPart(
    { schemaVersion: 2, config: config.descriptor, layers: layers.map(({ descriptor }) => descriptor) },
    'application/vnd.oci.image.manifest.v1+json',
  );
  for (const kind of ['blobs', 'manifests']) await mkdir(join(directory, kind), { recursive: true });
  await writeFile(join(directory, 'manifests', tag), manifest.bytes);
  const blobs = [config, ...layers];
  for (const { bytes, descriptor } of blobs) await writeFile(join(directory, 'blobs', descriptor.digest), bytes);
  return blobs.reduce((sum, { bytes }) => sum + bytes.length, 0);
}

async function buildLayer(
  name: string,
  { number, ...about }: { readonly number: number; readonly bytes: number; readonly noise: number },
): Promise<Part & { readonly diffId: string }> {
  const archive = pack();
  archive.entry({ name: `data-${number}`, mtime: new Date(0) }, sampleContent({ name, ...about }));
  archive.finalize();
  const tar = await buffer(archive);
  const bytes = await compress(tar, { level: 1 });
  return { ...part(bytes, 'application/vnd.oci.image.layer.v1.tar+gzip'), diffId: digestOf(tar) };
}

/** The server sends no media types, so each document contains its own. */
function jsonPart(document: object, mediaType: string): Part {
  return part(Buffer.from(JSON.stringify({ mediaType, ...document })), mediaType);
}

function part(bytes: Buffer, mediaType: string): Part {
  return { bytes, descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length } };
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
