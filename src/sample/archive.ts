import { createCipheriv, createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

import { pack } from 'tar-stream';

const compress = promisify(gzip);

type SampleImage = {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  /** Names of images, each required in `version`. */
  readonly dependencies: readonly string[];
  readonly version: string;
  /** Of its one file. */
  readonly content: Buffer;
  /** Of compression; default the fastest. */
  readonly level?: number;
};

/** Makes the archive of an image, as a server offers it: a gzipped tar, the same bytes in every run. */
export async function buildArchive(image: SampleImage): Promise<Buffer> {
  const { name, labels, dependencies, version, content, level = 1 } = image;
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
  archive.entry({ name: 'rootfs/data', mtime }, content);
  archive.finalize();
  return compress(await buffer(archive), { level });
}

const blockLength = 64 * 1024;

type SampleContent = {
  /** Different names give different bytes. */
  readonly name: string;
  readonly bytes: number;
  /** The share of the bytes, 0 to 1, that cannot be compressed. */
  readonly noise: number;
};

/**
 * Random and compressible bytes alternate, so that both are spread over the file, as in programs. The same bytes in
 * every run.
 */
export function sampleContent({ name, bytes, noise }: SampleContent): Buffer {
  const key = createHash('sha256').update(name).digest();
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  const file = Buffer.alloc(bytes, `${name} `);
  for (let at = 0; at < bytes; at += blockLength) {
    const length = Math.round(Math.min(blockLength, bytes - at) * noise);
    cipher.update(Buffer.alloc(length)).copy(file, at);
  }
  return file;
}

/** A key made for this run, and its signatures. */
export type Signer = {
  readonly fingerprint: string;
  /** The armored public key. */
  readonly certificate: string;
  /** An armored, detached signature over the archive as transferred. */
  sign(archive: Uint8Array): Promise<string>;
};

const ed25519 = { type: 'ecc', curve: 'ed25519Legacy' } as const;
export const rsa2048 = { type: 'rsa', rsaBits: 2048 } as const;

export async function createSigner(name: string, key: typeof ed25519 | typeof rsa2048 = ed25519): Promise<Signer> {
  const { createMessage, generateKey, sign } = await import('openpgp');
  const { privateKey, publicKey } = await generateKey({
    ...key,
    userIDs: [{ name, email: `${name.toLowerCase()}@demo.example` }],
    format: 'object',
  });
  return {
    fingerprint: publicKey.getFingerprint(),
    certificate: publicKey.armor(),
    async sign(binary) {
      const message = await createMessage({ binary });
      // with bytes and armor the result is a string; the types allow for a stream as well
      return (await sign({ message, signingKeys: privateKey, detached: true })) as string;
    },
  };
}
