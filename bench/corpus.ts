import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { buildTar } from '../test/helpers/archive.ts';
import { openGpg } from '../test/helpers/keys.ts';

export type CorpusOptions = {
  readonly directory: string;
  readonly count: number;
  /** Bytes of all tars together; the images' sizes vary around the mean. */
  readonly tarBytes: number;
};

export type Corpus = {
  /** `NAME.aci` and `NAME.aci.asc` lie in `directory/files`. */
  readonly names: readonly string[];
  readonly packedBytes: number;
  readonly tarBytes: number;
  /** The signer's certificate, armored, and a GnuPG home that knows it. */
  readonly certificate: string;
  readonly gpgHome: string;
};

/** Signed, gzipped images as they are published, the same bytes each time. The caller removes `directory`. */
export async function makeCorpus({ directory, count, tarBytes }: CorpusOptions): Promise<Corpus & AsyncDisposable> {
  const files = join(directory, 'files');
  await mkdir(files, { recursive: true });
  const gpg = await openGpg();
  const key = await gpg.createKey({ algorithm: 'rsa2048' });
  const certificate = join(directory, 'signer.asc');
  await writeFile(certificate, await gpg.certificate(key));
  const names: string[] = [];
  let packedBytes = 0;
  let total = 0;
  for (let index = 0; index < count; index += 1) {
    const name = `app-${String(index).padStart(5, '0')}`;
    const tar = await imageTar(name, Math.round((tarBytes / count) * (0.5 + (index % 5) / 4)), index);
    const packed = gzipSync(tar, { level: 6 });
    await writeFile(join(files, `${name}.aci`), packed);
    await writeFile(join(files, `${name}.aci.asc`), await gpg.sign(key, packed, { armor: true, digest: 'SHA256' }));
    names.push(name);
    packedBytes += packed.byteLength;
    total += tar.byteLength;
  }
  return {
    names,
    packedBytes,
    tarBytes: total,
    certificate,
    gpgHome: gpg.home,
    [Symbol.asyncDispose]: () => gpg.close(),
  };
}

function imageTar(name: string, bytes: number, seed: number): Promise<Buffer> {
  const manifest = JSON.stringify({
    acKind: 'ImageManifest',
    acVersion: '0.7.4',
    name: `example.com/bench/${name}`,
    labels: [
      { name: 'version', value: '1.0.0' },
      { name: 'os', value: 'linux' },
      { name: 'arch', value: 'amd64' },
    ],
  });
  return buildTar([
    { name: 'manifest', content: manifest },
    { name: 'rootfs/', type: 'directory' },
    { name: 'rootfs/data', content: programLike(bytes, seed) },
  ]);
}

/** Bytes that gzip packs to about 65 %, as it does executables: runs that repeat among runs that never do. */
export function programLike(bytes: number, seed: number): Buffer {
  const content = Buffer.alloc(bytes);
  const random = keystream(bytes, seed);
  for (let at = 0; at < bytes; at += 64) {
    const repeats = at >= 4096 && (random[at] ?? 0) % 100 < 38;
    const back = at - 64 * (1 + ((random[at + 1] ?? 0) % 60));
    if (repeats) content.copy(content, at, back, back + 64);
    else random.copy(content, at, at, at + 64);
  }
  return content;
}

function keystream(bytes: number, seed: number): Buffer {
  const blocks: Buffer[] = [];
  for (let index = 0; index * 64 < bytes; index += 1) {
    blocks.push(createHash('sha512').update(`${seed}:${index}`).digest());
  }
  return Buffer.concat(blocks).subarray(0, bytes);
}
