import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import type { Pack } from 'tar-stream';

import { parseRegistryReference } from '../image/registry-reference.ts';
import type { RegistryImage } from '../store/registry-store.ts';
import type { Store } from '../store/store.ts';
import { type ListedBlob, openSound, type SoundBlob } from './check-blob.ts';
import { readParts } from './registry-image.ts';

/** How other tools take an image of a registry. @see OCI image-spec, image-layout.md; docker save */
export type RegistryFormat = 'oci' | 'docker';

/** A file, its path relative to the root of the layout: bytes that were made for it, or a blob. */
export type LayoutFile = { readonly name: string; readonly content: Uint8Array | ListedBlob };

/**
 * The files of which a layout with this one image consists, each once: with the manifest that reads as OCI, and without
 * the index that it was chosen from, whose other manifests are not here.
 *
 * @throws STORE_CORRUPT when the manifest is damaged.
 */
export async function registryLayout(
  store: Store,
  image: RegistryImage,
  format: RegistryFormat,
): Promise<readonly LayoutFile[]> {
  const files = await (format === 'oci' ? ociLayout(store, image) : dockerLayout(store, image));
  return [...new Map(files.map((file) => [file.name, file])).values()];
}

async function ociLayout(store: Store, image: RegistryImage): Promise<readonly LayoutFile[]> {
  const manifest = image.oci ?? image.manifest;
  const { reference, platform } = image;
  const annotations = { 'org.opencontainers.image.ref.name': reference, 'io.containerd.image.name': reference };
  const index = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [{ ...manifest, ...(platform.os !== '' && { platform }), annotations }],
  };
  const { config, layers } = await readParts(store, manifest);
  return [
    { name: 'oci-layout', content: asJson({ imageLayoutVersion: '1.0.0' }) },
    { name: 'index.json', content: asJson(index) },
    ...[manifest, config, ...layers].map(({ digest, size }) => {
      return { name: `blobs/sha256/${hex(digest)}`, content: { id: digest, size } };
    }),
  ];
}

/** The layers as they were transferred: who loads them tells compression by its magic bytes. */
async function dockerLayout(store: Store, image: RegistryImage): Promise<readonly LayoutFile[]> {
  const { config, layers } = await readParts(store, image.manifest);
  const configFile = { name: `${hex(config.digest)}.json`, content: { id: config.digest, size: config.size } };
  const layerFiles = layers.map(({ digest, size }) => ({ name: `${hex(digest)}.tar`, content: { id: digest, size } }));
  const entry = { Config: configFile.name, RepoTags: tagsOf(image), Layers: layerFiles.map(({ name }) => name) };
  return [{ name: 'manifest.json', content: asJson([entry]) }, configFile, ...layerFiles];
}

/** Only a tag can be said there. */
function tagsOf({ reference }: RegistryImage): readonly string[] {
  const { host, repository, tag } = parseRegistryReference(reference);
  return tag === undefined ? [] : [`${host}/${repository}:${tag}`];
}

function hex(digest: string): string {
  return digest.slice('sha256:'.length);
}

function asJson(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

/** A regular file of an archive: bytes, or a blob that was hashed. */
export type TarFile = { readonly name: string; readonly content: Uint8Array | SoundBlob };

type TarRequest = {
  readonly files: readonly TarFile[];
  readonly output: Writable;
  /** Whether the output ends with the archive. */
  readonly end: boolean;
};

/** The same for all, so that the same files make the same archive. */
const attributes = { mode: 0o644, mtime: new Date(0) };

/** Writes files as a tar, one after another, as fast as the output takes them. @throws STORE_CORRUPT */
export async function writeTar(store: Store, { files, output, end }: TarRequest, signal: AbortSignal): Promise<void> {
  const { pack } = await import('tar-stream'); // which nothing but exports needs
  const archive = pack();
  const written = pipeline(Readable.from(chunksOf(archive), { objectMode: false }), output, { end, signal });
  // Nobody takes what is given to it any more; the failure itself is told when `written` is awaited.
  written.catch((error: unknown) => archive.destroy(error instanceof Error ? error : undefined));
  try {
    for (const file of files) await writeEntry(store, archive, file);
    archive.finalize();
  } catch (error) {
    archive.destroy(error instanceof Error ? error : undefined);
    await written; // which fails with what failed first: this, or the output
    throw error;
  }
  await written;
}

/**
 * The stream itself has a pipe of its own, which would end the output in any case; and of a generator alone the pipeline waits
 * for an output that is stuck, aborted or not, when it is not to end it.
 */
async function* chunksOf(archive: Pack): AsyncGenerator<Uint8Array> {
  for await (const chunk of archive as AsyncIterable<Uint8Array>) yield chunk;
}

async function writeEntry(store: Store, archive: Pack, { name, content }: TarFile): Promise<void> {
  if (content instanceof Uint8Array) {
    await pipeline(Readable.from([content]), archive.entry({ ...attributes, name, size: content.byteLength }));
    return;
  }
  await using file = await openSound(store, content);
  const source = file.createReadStream({ highWaterMark: 1024 * 1024, autoClose: false });
  await pipeline(source, archive.entry({ ...attributes, name, size: content.size }));
}
