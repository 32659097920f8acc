import type { MessagePort } from 'node:worker_threads';

import type { Bundle } from '../../src/bundle/bundle.ts';
import type { ErrorData } from '../../src/errors.ts';
import type { Digest } from '../../src/image/digest.ts';
import type { ImageId } from '../../src/image/image-id.ts';
import type { FileStamp } from '../../src/system/files.ts';

/**
 * What is read: a regular file, a layout in a directory, or what the main thread reads from a pipe and sends. A thread cannot read
 * pipes itself, since it could not be ended then.
 */
export type CarriedSource =
  | { readonly kind: 'file'; readonly path: string }
  /** `roots`: the manifests and indexes that are wanted; absent: all that index.json names. */
  | { readonly kind: 'directory'; readonly path: string; readonly roots?: readonly Digest[] }
  | { readonly kind: 'pipe' };

/** Messages of the main thread. `place` and `kept` answer `file` and `written` with the same id. */
export type ToImport =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'end' }
  /** Where a file is to be written; without a path it is not needed. */
  | { readonly kind: 'place'; readonly id: number; readonly path?: string }
  | { readonly kind: 'kept'; readonly id: number }
  | { readonly kind: 'stop' };

/** Messages to the main thread: it may send more bytes; so much has been read; a file begins; a file was written and synced. */
export type FromImport =
  | { readonly kind: 'more' }
  | { readonly kind: 'read'; readonly bytes: number; readonly total?: number }
  /** `imageId`: it is the tar of this archive. */
  | {
      readonly kind: 'file';
      readonly id: number;
      readonly digest?: Digest;
      readonly imageId?: ImageId;
      readonly size: number;
    }
  | ({ readonly kind: 'written'; readonly id: number; readonly path: string; readonly stamp: FileStamp } & CarriedFile);

export type ImportLimits = {
  /** Bytes of one file. */
  readonly archiveBytes: number;
  readonly headerBytes: number;
  readonly pathBytes: number;
  readonly entries: number;
};

export type ImportRequest = {
  readonly source: CarriedSource;
  /** Shown in errors. */
  readonly shown: string;
  readonly limits: ImportLimits;
  /** The directory with the blobs of the store, and the beginning of paths for new files, which nobody else uses. */
  readonly blobs: string;
  readonly temporary: string;
  /** The work stops soon after the other end is closed. */
  readonly port: MessagePort;
};

/** A file of the archive, which is in the store now. */
export type CarriedFile = { readonly digest: Digest; readonly size: number };

/** An entry of index.json. `names` are as they stand there: whole references, or tags. */
export type CarriedEntry = CarriedFile & {
  readonly mediaType: string;
  readonly artifactType: string;
  readonly name: string | undefined;
};

/** An image as `docker save` writes it. Its files are in the store. */
export type SavedImage = { readonly names: readonly string[] } & (
  | {
      readonly fault?: undefined;
      /** The file of its configuration, and the digest that is its name there. */
      readonly config: CarriedFile & { readonly named: Digest | undefined };
      /** The lowest first. */
      readonly layers: readonly CarriedFile[];
    }
  /** A file of it is not there. */
  | { readonly fault: ErrorData }
);

/** What an archive of images says of them. */
export type Carried =
  /** An image archive (ACI), which is read in another way. */
  | { readonly kind: 'aci' }
  | {
      readonly kind: 'images';
      readonly entries: readonly CarriedEntry[];
      readonly saved: readonly SavedImage[];
      /** What a bundle says of its images. */
      readonly bundle: Bundle | undefined;
      /** Tars of archives (ACIs) in a bundle. */
      readonly tars: ReadonlyMap<ImageId, CarriedFile>;
      /** Blobs that are not what they are named by: the digest of what is there. */
      readonly altered: ReadonlyMap<Digest, Digest>;
    };
