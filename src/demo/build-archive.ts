import { createCipheriv, createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

import { pack } from 'tar-stream';

import { version, type PlannedImage } from './plan.ts';

const compress = promisify(gzip);

/** The image as a server would offer it: a signed-to-be, gzipped tar, byte for byte the same in every run. */
export async function buildArchive(image: PlannedImage, labels: ReadonlyMap<string, string>): Promise<Buffer> {
  const manifest = {
    acKind: 'ImageManifest',
    acVersion: '0.8.11',
    name: image.name,
    labels: Array.from(labels, ([name, value]) => ({ name, value })),
    dependencies: image.dependencies.map((imageName) => ({ imageName, labels: [{ name: 'version', value: version }] })),
  };
  const archive = pack();
  const mtime = new Date(0);
  archive.entry({ name: 'manifest', mtime }, JSON.stringify(manifest));
  archive.entry({ name: 'rootfs', type: 'directory', mtime });
  archive.entry({ name: 'rootfs/data', mtime }, content(image));
  archive.finalize();
  return compress(await buffer(archive), { level: 1 });
}

/** Half noise, half text: it shrinks about as much as programs do. */
function content({ name, bytes }: PlannedImage): Buffer {
  const key = createHash('sha256').update(name).digest();
  const noise = createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(bytes >> 1));
  return Buffer.concat([noise, Buffer.alloc(bytes - noise.length, `${name} `)]);
}
