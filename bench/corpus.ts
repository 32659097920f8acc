import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { createMessage, enums, readPrivateKey, sign } from 'openpgp';

import { buildTar } from '../test/helpers/archive.ts';
import { openGpg } from '../test/helpers/keys.ts';
import { archiveOf, nameOf } from './names.ts';

export type CorpusOptions = {
  readonly directory: string;
  readonly count: number;
  /** Bytes of all tars together; the images' sizes vary around the mean. */
  readonly tarBytes: number;
  /** Which images, by their positions, that of a position depends on. Default none. */
  readonly needs?: (index: number) => readonly number[];
};

export type Corpus = {
  /** Image names; `archiveOf(NAME)`, and its signature with `.asc`, lie in `directory/files`. */
  readonly names: readonly string[];
  readonly packedBytes: number;
  readonly tarBytes: number;
  /** The signer's certificate, armored, and a GnuPG home that knows it. */
  readonly certificate: string;
  readonly gpgHome: string;
};

/** Signed, gzipped images as they are published, the same bytes each time. The caller removes `directory`. */
export async function makeCorpus(options: CorpusOptions): Promise<Corpus & AsyncDisposable> {
  const { directory, count, tarBytes, needs = () => [] } = options;
  const files = join(directory, 'files');
  await mkdir(join(files, dirname(nameOf(0))), { recursive: true });
  const gpg = await openGpg();
  const key = await gpg.createKey({ algorithm: 'rsa2048' });
  const certificate = join(directory, 'signer.asc');
  await writeFile(certificate, await gpg.certificate(key));
  const signed = await signer(String(await gpg.secretKey(key)));
  const names: string[] = [];
  let packedBytes = 0;
  let total = 0;
  for (let index = 0; index < count; index += 1) {
    const name = nameOf(index);
    const bytes = Math.round((tarBytes / count) * (0.5 + (index % 5) / 4));
    const tar = await imageTar(name, needs(index).map(nameOf), bytes, index);
    const packed = gzipSync(tar, { level: 6 });
    const archive = join(files, archiveOf(name));
    await writeFile(archive, packed);
    await writeFile(`${archive}.asc`, await signed(packed));
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

/** Signs as `gpg --armor --detach-sign --digest-algo SHA256` does, without a process for each. */
async function signer(armoredKey: string): Promise<(binary: Uint8Array) => Promise<string>> {
  const signingKeys = await readPrivateKey({ armoredKey });
  const config = {
    preferredHashAlgorithm: enums.hash.sha256,
    nonDeterministicSignaturesViaNotation: false,
  };
  return async (binary) => {
    const message = await createMessage({ binary });
    // its types lose the answer's when the message may be a stream; an armored one of bytes is a string
    return (await sign({ message, signingKeys, detached: true, config })) as string;
  };
}

function imageTar(name: string, dependencies: readonly string[], bytes: number, seed: number): Promise<Buffer> {
  const manifest = JSON.stringify({
    acKind: 'ImageManifest',
    acVersion: '0.7.4',
    name,
    labels: [
      { name: 'version', value: '1.0.0' },
      { name: 'os', value: 'linux' },
      { name: 'arch', value: 'amd64' },
    ],
    dependencies: dependencies.map((imageName) => ({ imageName })),
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
