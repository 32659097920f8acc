import { createWriteStream } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

import { pack } from 'tar-stream';

import { buildManifest } from '../test/helpers/archive.ts';
import { openGpg } from '../test/helpers/keys.ts';
import { programLike } from './corpus.ts';
import { archiveOf, nameOf } from './names.ts';

export type LargeImage = {
  readonly name: string;
  /** The signer's certificate, armored. */
  readonly certificate: string;
};

/**
 * One signed, gzipped image below `directory/files`, made without holding it in memory: a program of 10 MB again and again, which
 * gzip, looking back 32 KiB, does not notice.
 */
export async function makeLargeImage(directory: string, tarBytes: number): Promise<LargeImage> {
  const name = nameOf(0);
  const archive = join(directory, 'files', archiveOf(name));
  await mkdir(dirname(archive), { recursive: true });
  await using gpg = await openGpg();
  const key = await gpg.createKey({ algorithm: 'rsa2048' });
  const certificate = join(directory, 'signer.asc');
  await writeFile(certificate, await gpg.certificate(key));

  const packing = pack();
  const written = pipeline(packing, createGzip({ level: 6 }), createWriteStream(archive));
  const add = (path: string, content: Uint8Array | string): Promise<void> =>
    new Promise((resolve, reject) => {
      packing.entry({ name: path }, Buffer.from(content), (error) => (error ? reject(error) : resolve()));
    });
  const program = programLike(Math.min(10_000_000, tarBytes), 0);
  await add('manifest', JSON.stringify(buildManifest({ name, labels: { version: '1.0.0' } })));
  packing.entry({ name: 'rootfs/', type: 'directory' });
  for (let index = 0; index * program.length < tarBytes; index += 1) await add(`rootfs/program-${index}`, program);
  packing.finalize();
  await written;
  await gpg.run(['--armor', '--digest-algo', 'SHA256', '--output', `${archive}.asc`, '--detach-sign', archive]);
  return { name, certificate };
}
