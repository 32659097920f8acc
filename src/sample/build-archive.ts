import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

import { pack } from 'tar-stream';

import { sampleContent, type SampleContent } from './content.ts';

const compress = promisify(gzip);

/** `bytes` are those of its one file. */
export type SampleImage = SampleContent & {
  readonly labels: ReadonlyMap<string, string>;
  /** Names of images, each wanted in `version`. */
  readonly dependencies: readonly string[];
  readonly version: string;
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
  archive.entry({ name: 'rootfs/data', mtime }, sampleContent(image));
  archive.finalize();
  return compress(await buffer(archive), { level: 1 });
}
