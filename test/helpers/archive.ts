import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';

import { type Header, pack } from 'tar-stream';

import { type ImageId, parseImageId } from '../../src/image/image-id.ts';

export type Compression = 'none' | 'gzip' | 'bzip2' | 'xz';

export type AciOptions = {
  readonly name: string;
  readonly version?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** As they stand in a manifest. */
  readonly dependencies?: readonly {
    readonly imageName: string;
    readonly imageID?: string;
    readonly labels?: readonly { readonly name: string; readonly value: string }[];
    readonly size?: number;
  }[];
  /** Path below rootfs → content. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  /** Adds `rootfs/data` with that many bytes that depend on `seed` and compress to about half. */
  readonly size?: number;
  readonly seed?: number;
  /** Default first. */
  readonly manifestPosition?: 'first' | 'last';
  /** Default none. */
  readonly compress?: Compression;
  /** Further members of the manifest; they win. */
  readonly manifest?: Readonly<Record<string, unknown>>;
};

export type Aci = {
  /** The archive as it would be transferred. */
  readonly bytes: Buffer;
  readonly tar: Buffer;
  readonly imageId: ImageId;
  /** The text in the archive. */
  readonly manifest: string;
};

export async function buildAci(options: AciOptions): Promise<Aci> {
  const manifest = JSON.stringify(buildManifest(options));
  const own: TarItem = { name: 'manifest', content: manifest };
  const rootfs: TarItem[] = [{ name: 'rootfs/', type: 'directory' }];
  for (const [path, content] of Object.entries(options.files ?? {})) rootfs.push({ name: `rootfs/${path}`, content });
  if (options.size !== undefined) {
    rootfs.push({ name: 'rootfs/data', content: someBytes(options.size, options.seed ?? 1) });
  }
  const tar = await buildTar(options.manifestPosition === 'last' ? [...rootfs, own] : [own, ...rootfs]);
  return { bytes: compress(tar, options.compress ?? 'none'), tar, imageId: imageIdOf(tar), manifest };
}

/** One entry for tar-stream; a file unless `type` says otherwise. */
export type TarItem = Pick<Header, 'name'> & Partial<Header> & { readonly content?: string | Uint8Array };

export async function buildTar(items: readonly TarItem[]): Promise<Buffer> {
  const packing = pack();
  const tar = buffer(packing);
  for (const { content = '', ...header } of items) {
    packing.entry({ mtime: new Date(0), ...header }, Buffer.from(content));
  }
  packing.finalize();
  return tar;
}

export function imageIdOf(tar: Uint8Array): ImageId {
  return parseImageId(`sha512-${createHash('sha512').update(tar).digest('hex')}`);
}

export function compress(bytes: Buffer, compression: Compression): Buffer {
  switch (compression) {
    case 'none':
      return bytes;
    case 'gzip':
      return gzipSync(bytes);
    case 'bzip2':
      return execFileSync('bzip2', ['--compress', '--stdout'], { input: bytes, maxBuffer: 2 ** 30 });
    case 'xz': // -0: five times as fast
      return execFileSync('xz', ['--compress', '--stdout', '-0'], { input: bytes, maxBuffer: 2 ** 30 });
  }
}

/** Bytes that depend on nothing but the seed; every other run of 64 is zero. */
export function someBytes(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = (seed * 2_654_435_761 + 1) >>> 0;
  for (let at = 0; at < length; at++) {
    if ((at & 64) !== 0) continue;
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

export function buildManifest(options: AciOptions): Record<string, unknown> {
  const { name, version, labels = {}, dependencies, manifest } = options;
  const all = { ...(version !== undefined && { version }), ...labels };
  return {
    acKind: 'ImageManifest',
    acVersion: '0.8.11',
    name,
    ...(Object.keys(all).length > 0 && { labels: Object.entries(all).map(([key, value]) => ({ name: key, value })) }),
    ...(dependencies && { dependencies }),
    ...manifest,
  };
}
