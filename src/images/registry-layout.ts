import { parseRegistryReference } from '../image/registry-reference.ts';
import type { RegistryImage } from '../store/registry-store.ts';
import type { Store } from '../store/store.ts';
import type { Blob } from './check-blob.ts';
import { readParts } from './registry-parts.ts';

/** How other tools take an image of a registry. @see OCI image-spec, image-layout.md; docker save */
export type RegistryFormat = 'oci' | 'docker';

/** A file, its path relative to the root of the layout: bytes that were made for it, or a blob. */
export type LayoutFile = { readonly name: string; readonly content: Uint8Array | Blob };

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
