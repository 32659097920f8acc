import { gzipSync } from 'node:zlib';

import { buildTar, type TarItem } from './archive.ts';
import { asJson, describe, digestOf } from './registry-image.ts';

/** Files of an archive by path. */
export type Files = Readonly<Record<string, Uint8Array>>;

export type MadeImage = {
  readonly manifest: ReturnType<typeof describe>;
  readonly config: Buffer;
  readonly layer: Buffer;
  /** As it is packed in the image of OCI. */
  readonly packed: Buffer;
  /** Its blobs in a layout. */
  readonly blobs: Files;
};

const ociManifest = 'application/vnd.oci.image.manifest.v1+json';

/** A small image of one layer. */
export async function makeImage(content: string, { architecture = 'amd64' } = {}): Promise<MadeImage> {
  const layer = await buildTar([{ name: 'file', content }]);
  const packed = gzipSync(layer);
  const config = asJson({ os: 'linux', architecture, rootfs: { type: 'layers', diff_ids: [digestOf(layer)] } });
  const document = asJson({
    schemaVersion: 2,
    mediaType: ociManifest,
    config: describe('application/vnd.oci.image.config.v1+json', config),
    layers: [describe('application/vnd.oci.image.layer.v1.tar+gzip', packed)],
  });
  const manifest = describe(ociManifest, document);
  return { manifest, config, layer, packed, blobs: blobsOf([document, config, packed]) };
}

export function blobsOf(all: readonly Uint8Array[]): Files {
  return Object.fromEntries(all.map((bytes) => [`blobs/sha256/${hexOf(bytes)}`, bytes]));
}

export function hexOf(bytes: Uint8Array): string {
  return digestOf(bytes).slice('sha256:'.length);
}

type Entry = Readonly<Record<string, unknown>>;

/** An entry of index.json. */
export function named(name: string | undefined, descriptor: object): Entry {
  return { ...descriptor, ...(name !== undefined && { annotations: { 'org.opencontainers.image.ref.name': name } }) };
}

/** The files of a layout of OCI. */
export function layoutOf(entries: readonly Entry[], ...blobs: readonly Files[]): Files {
  return {
    'oci-layout': asJson({ imageLayoutVersion: '1.0.0' }),
    'index.json': asJson({ schemaVersion: 2, manifests: entries }),
    ...Object.assign({}, ...blobs),
  } as Files; // the type of Object.assign is any
}

/** The layout of images by their names. */
export function layoutOfImages(images: Readonly<Record<string, MadeImage>>): Files {
  const all = Object.entries(images);
  return layoutOf(
    all.map(([name, { manifest }]) => named(name, manifest)),
    ...all.map(([, { blobs }]) => blobs),
  );
}

export function itemsOf(files: Files): readonly TarItem[] {
  return Object.entries(files).map(([name, content]) => ({ name, content }));
}

export function tarOf(files: Files, more: readonly TarItem[] = []): Promise<Buffer> {
  return buildTar([...itemsOf(files), ...more]);
}
