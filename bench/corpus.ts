import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { archiveOf, nameOf, prefix, publishArchives } from '../src/bench/corpus.ts';
import { type Server, type ServerShape, startServer } from '../src/bench/start-server.ts';
import { createSigner, rsa2048 } from '../src/sample/archive.ts';
import { type Longshore, openLongshores } from './longshore.ts';
import { never } from './measure.ts';

type CorpusOptions = Partial<ServerShape> & {
  readonly count: number;
  /** The size of all images together in bytes; single sizes vary around the mean. */
  readonly tarBytes: number;
  /** The positions of the images that the image at a position needs. Default none. */
  readonly needs?: (index: number) => readonly number[];
};

/** Signed images on a loopback server, and the commands to measure, which trust the signer. */
type Served = Server & {
  /** The names of the images, the URLs of their archives, and the paths of these. */
  readonly names: readonly string[];
  readonly urls: readonly string[];
  readonly files: readonly string[];
  /** The armored key of the signer. */
  readonly certificate: string;
  /** Options with which discovery uses the server. */
  readonly discover: readonly string[];
  readonly longshores: readonly Longshore[];
};

export type Corpus = Served & { readonly packedBytes: number; readonly tarBytes: number };

/** Makes and serves images, gzipped with the usual level. The caller removes `directory`. */
export async function makeCorpus(directory: string, options: CorpusOptions): Promise<Corpus> {
  const { count, tarBytes, needs = () => [], ...shape } = options;
  const signer = await createSigner('Bench', rsa2048);
  const sizes = Array.from({ length: count }, (_, index) => Math.round((tarBytes / count) * (0.5 + (index % 5) / 4)));
  const at = (index: number) => ({ content: programLike(sizes[index] ?? 0, index), needs: needs(index) });
  const files = filesIn(directory);
  const { packedBytes } = await publishArchives({ files, count, signer, at, level: 6 }, never);
  await writeFile(certificateIn(directory), signer.certificate);
  const served = await serve(directory, count, shape);
  return { ...served, packedBytes, tarBytes: sizes.reduce((sum, bytes) => sum + bytes, 0) };
}

export const filesIn = (directory: string): string => join(directory, 'files');
export const certificateIn = (directory: string): string => join(directory, 'signer.asc');

/** Serves the first images in `filesIn(directory)`, signed with the key in `certificateIn(directory)`. */
export async function serve(directory: string, count: number, shape: Partial<ServerShape>): Promise<Served> {
  const [root, certificate] = [filesIn(directory), certificateIn(directory)];
  const names = Array.from({ length: count }, (_, index) => nameOf(index));
  const longshores = await openLongshores(directory, certificate);
  const server = await startServer({ directory: root, prefix, delayMs: 0, rate: 0, loss: 0, ...shape }, never);
  return {
    ...server,
    ...{ names: names.map((name) => `${name}:1.0`), certificate, longshores },
    urls: names.map((name) => `${server.url}/${archiveOf(name)}`),
    files: names.map((name) => join(root, archiveOf(name))),
    discover: ['--discover', `${prefix}=${server.url}`],
  };
}

/** Bytes that gzip packs to about 65 %, as for executables: repeating parts mixed with random ones. */
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
