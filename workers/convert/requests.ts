import type { IngestLimits, IngestResponse } from '../ingest/requests.ts';

/** Where in a registry an image was found, for its manifest. */
export type ConvertOrigin = {
  /** As in RegistryReference: `docker.io` for Docker Hub. */
  readonly host: string;
  readonly repository: string;
  /** The version label; absent for an image requested only by digest. */
  readonly tag?: string;
  /** The reference as written. It becomes an annotation, so it affects the image ID. */
  readonly text?: string;
  readonly configDigest: string;
  readonly manifestDigest: string;
  readonly indexDigest?: string;
};

export type ConvertLimits = Pick<
  IngestLimits,
  'unpackedBytes' | 'manifestBytes' | 'headerBytes' | 'entries' | 'pathBytes'
>;

export type UnpackLayerRequest = {
  /** The blob as transferred. It is hashed once more. */
  readonly path: string;
  readonly digest: string;
  /** The digest of the uncompressed tar. */
  readonly diffId: string;
  /** Path of a new file for the tar, if the layer is compressed. */
  readonly tar: string;
  /** The limit for the uncompressed size of all layers of the image. */
  readonly unpackedBytes: number;
  /** The uncompressed size of all layers so far, in all threads: one 64-bit number, initially zero. */
  readonly unpacked: SharedArrayBuffer;
};

/** How a layer is compressed. */
export type LayerPacking = 'tar' | 'gzip' | 'zstd';

/** `tar` is the blob itself if the layer is not compressed. */
export type UnpackLayerResponse = { readonly tar: string; readonly size: number; readonly packing: LayerPacking };

/** A layer whose digests have been checked. `digest` is that of its blob. */
export type ConvertLayer = { readonly tar: string; readonly digest: string };

export type ConvertRequest = {
  /** The lowest first. */
  readonly layers: readonly ConvertLayer[];
  /** The image's config, checked against its digest. */
  readonly config: Uint8Array;
  readonly origin: ConvertOrigin;
  /** As in IngestRequest. */
  readonly image: string;
  readonly limits: ConvertLimits;
};

export type ConvertResponse = Pick<IngestResponse, 'imageId' | 'size' | 'stamp' | 'manifest' | 'parsed'> & {
  /** Properties of the image that a manifest cannot express; safe to display. */
  readonly warnings: readonly string[];
};
