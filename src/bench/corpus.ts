import { mkdir, statfs, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { defaultLabels, ImageError, openKeystore } from '../internal.ts';
import { buildArchive, createSigner, sampleContent, type Signer } from '../sample/archive.ts';
import { type Corpus, makeRegistryCorpus } from './registry-corpus.ts';

/** The prefix of all image names. */
export const prefix = 'bench.example';
export const version = '1.0';
/** The most dependencies of an image in a tree. */
const fanOut = 3;

export type CorpusOptions = {
  readonly images: number;
  /** The size of each image's one file, or of all layers of each, in bytes. */
  readonly size: number;
  /** The percentage of bytes that compression saves. */
  readonly compressibility: number;
  readonly signed: boolean;
  /**
   * Whether each image needs up to three others and only the topmost is requested. Otherwise all are requested, and
   * none needs another.
   */
  readonly tree: boolean;
  /** Whether to make registry images of four layers each instead of archives. They are neither signed nor in a tree. */
  readonly registry: boolean;
};

/** Makes images in `files`, and configures their signer as trusted in the directory `config`. @throws STORE_FULL */
export async function makeCorpus(
  options: CorpusOptions,
  { files, config }: { readonly files: string; readonly config: string },
  signal: AbortSignal,
): Promise<Corpus> {
  const { images, size, compressibility, signed, tree } = options;
  await mkdir(join(files, prefix), { recursive: true });
  await requireSpace(files, images * size * (2 - compressibility / 100));
  if (options.registry) return makeRegistryCorpus(options, files, signal);
  const signer = signed ? await createSigner('Bench') : undefined;
  if (signer) {
    await using keystore = await openKeystore({ dirs: [config] });
    const certificate = Buffer.from(signer.certificate);
    await keystore.add({ certificate, fingerprint: signer.fingerprint, prefix, layer: 0 });
  }
  const published = await publishArchives(
    {
      ...{ files, count: images, signer },
      at: (index) => ({
        needs: tree ? below(index, images) : [],
        content: sampleContent({ name: nameOf(index), bytes: size, noise: 1 - compressibility / 100 }),
      }),
    },
    signal,
  );
  const requests = Array.from({ length: tree ? 1 : images }, (_, index) => `${nameOf(index)}:${version}`);
  return { requests: () => requests, packedBytes: published.packedBytes };
}

export type Publishing = {
  /** The directory of the archives. */
  readonly files: string;
  readonly count: number;
  readonly signer: Signer | undefined;
  /** The content of an image, and the positions of its dependencies. */
  readonly at: (index: number) => { readonly content: Buffer; readonly needs: readonly number[] };
  /** The compression level; default the fastest. */
  readonly level?: number;
};

/** Makes one archive after the other, with its signature if there is a signer. */
export async function publishArchives(
  { files, count, signer, at, level = 1 }: Publishing,
  signal: AbortSignal,
): Promise<{ readonly packedBytes: number }> {
  const labels = new Map([['version', version], ...defaultLabels(new Map(), process)]);
  await mkdir(join(files, prefix), { recursive: true });
  let packedBytes = 0;
  for (let index = 0; index < count; index += 1) {
    signal.throwIfAborted();
    const name = nameOf(index);
    const { content, needs } = at(index);
    const archive = await buildArchive({ name, labels, dependencies: needs.map(nameOf), version, content, level });
    const path = join(files, archiveOf(name));
    await writeFile(path, archive);
    if (signer) await writeFile(`${path}.asc`, await signer.sign(archive));
    packedBytes += archive.length;
  }
  return { packedBytes };
}

/** The path of an image's archive below the origin. */
export function archiveOf(name: string): string {
  return `${name}-${version}.aci`;
}

export function nameOf(index: number): string {
  return `${prefix}/image-${String(index).padStart(5, '0')}`;
}

/** The positions of the dependencies of a position, in one tree of all images. */
function below(index: number, images: number): readonly number[] {
  return Array.from({ length: fanOut }, (_, child) => fanOut * index + child + 1).filter((child) => child < images);
}

/** Requires space for the published images and an unpacked store of them. */
async function requireSpace(directory: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  if (bavail * bsize >= bytes) return;
  const [has, needs] = [bavail * bsize, bytes].map((count) => Math.ceil(count / 1024 ** 2));
  const path = dirname(directory);
  throw new ImageError('STORE_FULL', `the temporary directory has ${has} MiB left, this needs ${needs} MiB`, { path });
}
