import type { LayerPacking } from './unpack-layer.ts';
import type { IngestLimits, IngestResponse } from '../tasks.ts';

/** Where an image in a registry was found: what its manifest says of that. */
export type ConvertOrigin = {
  /** As a RegistryReference has it: `docker.io` for Docker Hub. */
  readonly host: string;
  readonly repository: string;
  /** The version label; absent for what was asked for by digest alone. */
  readonly tag?: string;
  /** The reference in words, kept as an annotation: other words make another image ID. */
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
  /** The blob as transferred, which is checked against its digest once more. */
  readonly path: string;
  readonly digest: string;
  /** The digest that its tar must have. */
  readonly diffId: string;
  /** Path of a new file for the tar of a compressed layer. */
  readonly tar: string;
  /** The most that all layers of the image may have unpacked. */
  readonly unpackedBytes: number;
  /** What they have so far, in all threads: one 64-bit number, zero at first. */
  readonly unpacked: SharedArrayBuffer;
};

/** Where the tar is, which for a plain layer is the blob itself; its bytes; how the blob was packed. */
export type UnpackLayerResponse = { readonly tar: string; readonly size: number; readonly packing: LayerPacking };

/** A layer whose digests have been checked; `digest` is its blob's. */
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
  /** What the image asked for and a manifest cannot say; safe to show. */
  readonly warnings: readonly string[];
};
