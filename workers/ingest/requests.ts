import type { MessagePort } from 'node:worker_threads';

import type { ImageId } from '../../src/image/image-id.ts';
import type { Dependency, ImageManifest } from '../../src/image/manifest.ts';
import type { FileStamp } from '../../src/system/files.ts';
import type { VerifySignatureRequest, VerifySignatureResponse } from '../openpgp/requests.ts';
import type { IngestSteps } from './step-clock.ts';

/** Messages of the main thread to a session that follows a growing file. At most one `grown` for each 256 KiB. */
export type ToIngest =
  | { readonly kind: 'grown'; readonly bytes: number }
  | { readonly kind: 'complete'; readonly bytes: number }
  | { readonly kind: 'stop' };

/**
 * Messages of a session before it ends: its thread, and then the dependencies of the image, if it has any, as soon as
 * its manifest was read and checked. There are at most `limits.dependencies`. Nothing of the image is verified at that
 * time.
 */
export type FromIngest =
  | { readonly kind: 'started'; readonly threadId: number }
  | { readonly kind: 'dependencies'; readonly dependencies: readonly Dependency[] };

/** The bytes of an archive: a complete small body, a complete file, or a file that grows until `complete`. */
export type ArchiveSource =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'file'; readonly path: string }
  | (GrowingFile & { readonly kind: 'growing'; readonly bytes: number; readonly port: MessagePort });

/** Links are followed to a file that a user named, and to no file of ours. */
export type GrowingFile = { readonly path: string; readonly isNamed?: boolean };

export type IngestLimits = {
  readonly archiveBytes: number;
  readonly unpackedBytes: number;
  readonly manifestBytes: number;
  readonly headerBytes: number;
  readonly entries: number;
  readonly pathBytes: number;
  readonly dependencies: number;
  readonly signatures: number;
};

export type IngestRequest = {
  readonly source: ArchiveSource;
  /** Shown in errors instead of a path: the source of the reference. */
  readonly shown: string;
  /**
   * Path of the uncompressed tar. It must not exist. It is written, synced and made mode 0444, or removed after a
   * failure.
   */
  readonly image: string;
  /** Path of a copy of the archive as it comes, if one is wanted. It is made as the image is. */
  readonly archive?: string;
  /**
   * The detached signature file, if one is to be verified: its digests are computed in the same pass. `location` is
   * shown in errors.
   */
  readonly signature?: { readonly bytes: Uint8Array; readonly location: string };
  /**
   * The keys to verify the signature with at once, for an image of this name, or of any name. Only a good signature is reported: who
   * asks looks closer at any other.
   */
  readonly verify?: Pick<VerifySignatureRequest, 'keys' | 'searched' | 'weakKeys' | 'nowMs' | 'signatures'> & {
    readonly name?: string;
  };
  readonly limits: IngestLimits;
};

export type IngestResponse = {
  readonly imageId: ImageId;
  /** `sha256:` and hex of the bytes as transferred. */
  readonly digest: string;
  /** Bytes of the archive as transferred. */
  readonly archiveBytes: number;
  /** Bytes of the uncompressed tar. */
  readonly size: number;
  /** The manifest as in the archive, valid JSON. */
  readonly manifest: string;
  /** The parsed manifest: the main thread does not parse again what a worker has parsed. */
  readonly parsed: ImageManifest;
  readonly compression: 'none' | 'gzip' | 'bzip2' | 'xz';
  /** One digest for each signature packet, in order; empty without a signature. */
  readonly signatureDigests: readonly Uint8Array[];
  readonly steps: IngestSteps;
  /** Of the image file, from the descriptor that was written to. */
  readonly stamp: FileStamp;
  /** Of the copy of the archive, if one was wanted. */
  readonly archiveStamp?: FileStamp;
  /** If the request has `verify`, and the signature is good. */
  readonly verification?: VerifySignatureResponse;
};
/** For an image that is already in its final place. */
export type ReadImageResponse = Omit<IngestResponse, 'stamp' | 'archiveStamp' | 'verification'>;
