import { createCipheriv, createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

import { pack } from 'tar-stream';

const compress = promisify(gzip);
const blockLength = 64 * 1024;

export type SampleImage = {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  /** Names of images, each wanted in `version`. */
  readonly dependencies: readonly string[];
  readonly version: string;
  /** Bytes of its one file. */
  readonly bytes: number;
  /** The share of them, 0 to 1, that no compression takes away. */
  readonly noise: number;
};

/** The image as a server would offer it: a signed-to-be, gzipped tar, byte for byte the same in every run. */
export async function buildArchive(image: SampleImage): Promise<Buffer> {
  const { name, labels, dependencies, version } = image;
  const manifest = {
    acKind: 'ImageManifest',
    acVersion: '0.8.11',
    name,
    labels: Array.from(labels, ([label, value]) => ({ name: label, value })),
    dependencies: dependencies.map((imageName) => ({ imageName, labels: [{ name: 'version', value: version }] })),
  };
  const archive = pack();
  const mtime = new Date(0);
  archive.entry({ name: 'manifest', mtime }, JSON.stringify(manifest));
  archive.entry({ name: 'rootfs', type: 'directory', mtime });
  archive.entry({ name: 'rootfs/data', mtime }, content(image));
  archive.finalize();
  return compress(await buffer(archive), { level: 1 });
}

/** Noise and text take turns: what shrinks is spread over the file, as in programs. */
function content({ name, bytes, noise }: SampleImage): Buffer {
  const key = createHash('sha256').update(name).digest();
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  const file = Buffer.alloc(bytes, `${name} `);
  for (let at = 0; at < bytes; at += blockLength) {
    const length = Math.round(Math.min(blockLength, bytes - at) * noise);
    cipher.update(Buffer.alloc(length)).copy(file, at);
  }
  return file;
}
