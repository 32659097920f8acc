import type { Digest } from '../image/digest.ts';
import type { ImageId } from '../image/image-id.ts';
import type { GoPlatform } from '../image/platform.ts';
import type { Proof } from '../image/proof.ts';
import type { FileStamp } from '../system/files.ts';
import type { OciDescriptor } from './index/oci-index.ts';

/** How a blob compares with its row in the index, by size, mtime, ctime and inode. */
export type BlobState = 'intact' | 'changed' | 'missing';

/** A manifest or index of a registry, stored as a blob. */
export type StoredDescriptor = { readonly mediaType: string; readonly digest: Digest; readonly size: number };

/** A manifest that is attached to an image: a signature, an attestation, a list of its parts. */
export type Referrer = StoredDescriptor & {
  readonly artifactType: string;
  /** The manifest or the index that it is attached to. */
  readonly subject: Digest;
  /** Its tag in the repository, where a tag is how it is found: `sha256-….sig`. */
  readonly tag?: string;
};

/** A file of `blobs/sha256`. `size` is in bytes, as transferred. */
export type StoredBlob = { readonly digest: Digest; readonly size: number };

/** `needed`: by a listed image. `isArchive`: only since it is the archive of one, as it was transferred. */
export type BlobRow = StoredBlob & { readonly needed: boolean; readonly isArchive: boolean };

/** An archive as it was transferred: a file of `blobs/sha256`. */
export type KeptArchive = StoredBlob & {
  /** `none`, or the name of the program that decompresses it. */
  readonly compression: string;
};

/** A registry image, stored as the registry served it. Times are milliseconds since the epoch. */
export type RegistryImage = {
  /**
   * Complete and normalised, without a scheme: `docker.io/library/busybox:1`, or `…@sha256:…` when no tag was asked
   * for.
   */
  readonly reference: string;
  /** As the registry served it. An index, if `platforms` are given. */
  readonly manifest: StoredDescriptor;
  /** The platforms of an index that is kept with everything in it. Absent for the image of one platform. */
  readonly platforms?: readonly GoPlatform[];
  /** The multi-platform index that it was chosen from. */
  readonly index?: StoredDescriptor;
  /** A manifest or an index with the same blobs, derived from a docker one for tools that read OCI only. */
  readonly oci?: StoredDescriptor;
  /** Without names, if `platforms` are given. */
  readonly platform: GoPlatform;
  /** What is attached to the image and to what it consists of, such as signatures. Absent if it was not asked for. */
  readonly referrers?: readonly Referrer[];
  /** All its blobs: manifests, indexes, configs and layers, also of what is attached to it. */
  readonly blobs: readonly Digest[];
  /** Bytes of all its blobs, including those that it shares with other images, and of what the store has of the image that it was converted to. */
  readonly size: number;
  /** The image that it was converted to, as long as that is listed. */
  readonly imageId?: ImageId;
  readonly importedAtMs: number;
  /** When it was last used in either form. */
  readonly lastUsedAtMs: number;
  readonly latest: boolean;
  /** The URL it was fetched from, without credentials and query. */
  readonly source: string;
  /** Fingerprints of the keys that signed it; false when it was imported without verification. */
  readonly verified: readonly string[] | false;
  /** Verified only because `weak-keys` was asked for. */
  readonly weak: boolean;
};

/** `blobs` may omit the manifest, the index and the derived manifest: they are added in any case. */
export type RegistryCommit = Omit<RegistryImage, 'size' | 'importedAtMs' | 'lastUsedAtMs'> & {
  /** What made the image trusted. */
  readonly proofs?: readonly Proof[];
};

/** Registry images, their blobs and archives as they were transferred. Other tools may read, add and remove blobs. */
export type RegistryStore = {
  digestPath(digest: Digest): string;
  /**
   * Whether the blob exists and has not changed since it was verified. A blob that another tool has removed or replaced
   * does not count.
   *
   * @param size - the expected size: a blob of another size does not count.
   */
  hasBlob(digest: Digest, size?: number): Promise<boolean>;
  /**
   * Moves a verified, synced file of the same filesystem to its final place. Afterwards it is gone from `path`,
   * whatever the outcome. `collect` keeps the blob as long as this process lives, also while no image needs it.
   */
  commitBlob(blob: StoredBlob & { readonly path: string; readonly stamp: FileStamp }): Promise<void>;
  /** As hasBlob, but distinguishes a `changed` blob, which may still be good, from a missing one. */
  digestState(digest: Digest, size?: number): Promise<BlobState>;
  /** As confirmBlob. */
  confirmDigest(digest: Digest, stamp: FileStamp): Promise<void>;
  /**
   * Removes a damaged blob and unlists the images that need it. Their other blobs stay until `collect`. An image whose archive it is
   * stays listed, without it.
   *
   * @param options.keepsFile - as for remove.
   * @returns the references of the images.
   */
  dropBlob(digest: Digest, options?: { readonly keepsFile?: boolean }): Promise<readonly string[]>;
  /** Removes blobs that this process has imported, unless an image or another tool needs them. */
  discardBlobs(digests: readonly Digest[]): Promise<void>;
  /** All blobs in the order of their digests, one page at a time. */
  blobRows(): AsyncIterable<BlobRow>;

  /**
   * Lists an image in place of the one that had the same reference, in one durable transaction. index.json follows
   * within about a second, at the latest by close(). A second import of the same manifest keeps the facts known before.
   *
   * @throws STORE_CORRUPT when one of its blobs no longer exists: fetch it again.
   */
  commitRegistryImage(commit: RegistryCommit): Promise<RegistryImage>;
  findRegistryImage(reference: string): Promise<RegistryImage | undefined>;
  /** All registry images by import time, one page at a time. */
  registryImages(): AsyncIterable<RegistryImage>;
  /**
   * The digest of a listed manifest, index or derived manifest that begins with a prefix.
   *
   * @param prefix - `sha256:` and 2 to 64 hex digits.
   * @throws NOT_IN_STORE, ID_AMBIGUOUS, ID_TOO_SHORT, REFERENCE_INVALID
   */
  resolveDigest(prefix: string): Promise<Digest>;
  /** The images with this manifest, index or derived manifest, or that were converted to this image, by import time. */
  registryImagesOf(id: Digest | ImageId): Promise<readonly RegistryImage[]>;
  /**
   * The tags of a repository by which its images were asked for, without a digest, in the order of their bytes.
   *
   * @param repository - `host/name`.
   * @param page - the first `limit` tags behind the tag `after`.
   */
  tagsOf(repository: string, page: { readonly after?: string; readonly limit: number }): Promise<readonly string[]>;
  /** The repositories of listed images, `host/name`, each once, in an order that stays. @param page - as in tagsOf. */
  repositories(page: { readonly after?: string; readonly limit: number }): Promise<readonly string[]>;
  /** The hosts that the store has a repository with this path of. */
  hostsOf(path: string): Promise<readonly string[]>;
  /** Images of a repository, `host/name`, that need a blob: the first 64 behind a reference, in the order of these. */
  imagesNeeding(digest: Digest, repository: string, after?: string): Promise<readonly RegistryImage[]>;
  /** The size of a blob that an image of a repository, `host/name`, needs. */
  sizeIn(digest: Digest, repository: string): Promise<number | undefined>;
  /** As touch. */
  touchRegistryImage(reference: string): void;
  /**
   * Unlists an image, removes it from index.json, and removes the blobs that nothing else needs.
   *
   * @param asked - a reference, or a digest, which selects all images that `registryImagesOf` gives.
   * @returns bytes freed. @throws NOT_IN_STORE
   */
  removeRegistryImage(asked: string): Promise<number>;

  /** The entries of index.json, our own and those of other tools. @throws STORE_CORRUPT when it cannot be read */
  ociIndex(): Promise<readonly OciDescriptor[]>;
  /**
   * Our own entries, where complete, in index.json and in the copies set aside. Those of the current file come first.
   */
  salvagedEntries(): Promise<readonly OciDescriptor[]>;
  /**
   * Files of `blobs/sha256` that are not part of any image: they have no row, or only that of a process which ended
   * before it had listed its image.
   */
  unlistedBlobs(): AsyncIterable<StoredBlob>;
  /**
   * Adds a row for a file that is already in its final place, as commitBlob does. @throws STORE_CORRUPT when it is
   * another file
   */
  relistBlob(blob: StoredBlob & { readonly stamp: FileStamp }): Promise<void>;
  /** As relistBlob, for the archive of a listed image, unless that has one. */
  relistArchive(imageId: ImageId, archive: KeptArchive & { readonly stamp: FileStamp }): Promise<void>;
  /**
   * Writes index.json now, for callers that need to know whether that works.
   *
   * @param options.setAsideDamagedAtMs - a file that cannot be read is renamed, with this time in its name, and a new
   * one written.
   * @throws STORE_CORRUPT when the file cannot be read: it and all blobs stay as they are.
   */
  writeOciIndex(options?: { readonly setAsideDamagedAtMs?: number }): Promise<void>;
};
