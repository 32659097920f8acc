import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import type { ExecutionContext } from 'ava';

import { defaultLimits } from '../../../src/image/limits.ts';
import { parseRegistryConfig } from '../../../src/registry/manifest.ts';
import { convert } from '../../../workers/convert/convert.ts';
import type {
  ConvertLayer,
  ConvertLimits,
  ConvertRequest,
  ConvertResponse,
} from '../../../workers/convert/requests.ts';
import { unpackLayer } from '../../../workers/convert/unpack-layer.ts';
import type { Handler } from '../../../workers/tasks.ts';
import { buildTar, type TarItem } from '../../helpers/archive.ts';

export const convertLimits: ConvertLimits = {
  unpackedBytes: defaultLimits.unpacked,
  manifestBytes: defaultLimits.manifest,
  headerBytes: defaultLimits.header,
  entries: defaultLimits.entries,
  pathBytes: defaultLimits.path,
};

export type LayerBytes = { readonly tar: Buffer; readonly blob: Buffer };

/** As a registry would serve it. */
export function pack(tar: Buffer, compress: (tar: Buffer) => Buffer = gzipSync): LayerBytes {
  return { tar, blob: compress(tar) };
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/**
 * A layer in the notation of the vectors: `x=V` a file, `x/` a directory, `x->y` a hard link, `x~>y` a symlink, `!x` a
 * whiteout of x, `d/!!` makes d opaque.
 */
function parseLayer(text: string): readonly TarItem[] {
  return text.split(' ').filter(Boolean).map(parseItem);
}

function parseItem(text: string): TarItem {
  const [, name = '', sign, value = ''] = /^(.*?)(?:(=|->|~>)(.*))?$/.exec(text) ?? [];
  if (sign === '->') return { name, type: 'link', linkname: value };
  if (sign === '~>') return { name, type: 'symlink', linkname: value };
  if (sign === '=') return { name, content: value };
  if (name.endsWith('!!')) return { name: name.replace('!!', '.wh..wh..opq') };
  if (name.includes('!')) return { name: name.replace('!', '.wh.') };
  return name.endsWith('/') ? { name, type: 'directory' } : { name };
}

export async function layerOf(items: string | readonly TarItem[]): Promise<LayerBytes> {
  return pack(await buildTar(typeof items === 'string' ? parseLayer(items) : items));
}

export type Config = Readonly<Record<string, unknown>>;

export function configFor(layers: readonly LayerBytes[], more: Config = {}): Buffer {
  const rootfs = { type: 'layers', diff_ids: layers.map(({ tar }) => sha256(tar)) };
  return Buffer.from(JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs, ...more }));
}

export async function temporary(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'longshore-convert-'));
  t.teardown(() => rm(directory, { recursive: true }));
  return directory;
}

/** A conversion of blobs as they come. */
export type BlobsRequest = Omit<ConvertRequest, 'layers'> & {
  readonly blobs: readonly { readonly path: string; readonly digest: string }[];
};

type More = Partial<ConvertRequest> & { readonly about?: Config };

export async function requestFor(
  t: ExecutionContext,
  layers: readonly LayerBytes[],
  more: More = {},
): Promise<BlobsRequest> {
  const directory = await temporary(t);
  const blobs = layers.map(({ blob }, number) => ({ path: join(directory, `blob-${number}`), digest: sha256(blob) }));
  await Promise.all(blobs.map(({ path }, number) => writeFile(path, layers[number]?.blob ?? '')));
  const { about, ...request } = more;
  return {
    blobs,
    config: configFor(layers, about),
    origin: {
      host: 'docker.io',
      repository: 'library/app',
      tag: 'latest',
      configDigest: `sha256:${'c'.repeat(64)}`,
      manifestDigest: `sha256:${'d'.repeat(64)}`,
    },
    image: join(directory, 'image'),
    limits: convertLimits,
    ...request,
  };
}

/** Unpacks the layers and makes an image of them; the tars are gone afterwards. */
export async function convertBlobs(
  { blobs, ...request }: BlobsRequest,
  tasks: { readonly unpackLayer: Handler<'unpackLayer'>; readonly convert: Handler<'convert'> } = {
    unpackLayer,
    convert,
  },
): Promise<ConvertResponse> {
  const { diffIds } = parseRegistryConfig(request.config, blobs.length);
  const tars = blobs.map((_, number) => `${request.image}.layer-${number}`);
  try {
    const layers: ConvertLayer[] = [];
    const { unpackedBytes } = request.limits;
    const unpacked = new SharedArrayBuffer(8);
    for (const [number, { path, digest }] of blobs.entries()) {
      const [diffId = '', into = ''] = [diffIds[number], tars[number]];
      const limit = { unpackedBytes, unpacked };
      const { tar } = await tasks.unpackLayer({ path, digest, diffId, tar: into, ...limit });
      layers.push({ tar, digest });
    }
    return await tasks.convert({ ...request, layers });
  } finally {
    await Promise.all(tars.map((tar) => rm(tar, { force: true })));
  }
}

export type Converted = ConvertResponse & { readonly tar: Buffer };

export async function convertLayers(
  t: ExecutionContext,
  layers: readonly LayerBytes[],
  more: More = {},
): Promise<Converted> {
  const request = await requestFor(t, layers, more);
  return { ...(await convertBlobs(request)), tar: await readFile(request.image) };
}
