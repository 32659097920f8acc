import type { Digest } from '../image/digest.ts';
import type { ImageId } from '../image/image-id.ts';
import type { OciDescriptor } from './index/oci-index.ts';
import type { GoPlatform } from '../image/platform.ts';
import type { FileStamp } from '../system/files.ts';
import type { BlobState } from './store.ts';

/** A manifest or index of a registry, as its bytes lie in the store. */
export type StoredDescriptor = { readonly mediaType: string; readonly digest: Digest; readonly size: number };

/** A file of `blobs/sha256`. `size` is in bytes, as transferred. */
export type StoredBlob = { readonly digest: Digest; readonly size: number };

/** An image of a registry, kept as it came. Times are milliseconds since the epoch. */
export type RegistryImage = {
  /** Whole and normalised, without a scheme: `docker.io/library/busybox:1`, or `…@sha256:…` when no tag was asked for. */
  readonly reference: string;
  /** As the registry served it. */
  readonly manifest: StoredDescriptor;
  /** The multi-platform index that it was chosen from. */
  readonly index?: StoredDescriptor;
  /** A manifest with the same blobs that was derived from a docker one, for tools that read OCI alone. */
  readonly oci?: StoredDescriptor;
  readonly platform: GoPlatform;
  /** Everything that it is made of: documents, config and layers. */
  readonly blobs: readonly Digest[];
  /** Bytes of them together; those that other images share count in each. */
  readonly size: number;
  /** The image that was made of it, as long as that is listed. */
  readonly imageId?: ImageId;
  readonly importedAtMs: number;
  readonly lastUsedAtMs: number;
  readonly latest: boolean;
  /** Where it came from: a URL without credentials and query. */
  readonly source: string;
  /** Fingerprints of the keys that signed it, or false: brought in without verification. */
  readonly verified: readonly string[] | false;
  /** Verified only because `weak-keys` was asked for. */
  readonly weak: boolean;
};

/** `blobs` need not name the manifest, the index and the derived manifest: they count in any case. */
export type RegistryCommit = Omit<RegistryImage, 'size' | 'importedAtMs' | 'lastUsedAtMs'>;

/** Images of registries, and the blobs they are made of, which other tools may read, add to and remove. */
export type RegistryStore = {
  digestPath(digest: Digest): string;
  /**
   * Whether the blob is there, unchanged since it was verified. What another tool has removed or replaced is not.
   *
   * @param size - what it is said to have: one of another size is not what is meant.
   */
  hasBlob(digest: Digest, size?: number): Promise<boolean>;
  /**
   * Puts a verified, synced file of this filesystem in its place; it is gone from `path` afterwards, whatever the outcome.
   * As long as this process lives and no image is made of the blob, `collect` keeps it.
   */
  commitBlob(blob: StoredBlob & { readonly path: string; readonly stamp: FileStamp }): Promise<void>;
  /** As hasBlob, but tells a blob that is `changed`, and may yet be good, from one that is not there. */
  digestState(digest: Digest, size?: number): Promise<BlobState>;
  /** As confirmBlob. */
  confirmDigest(digest: Digest, stamp: FileStamp): Promise<void>;
  /**
   * Removes a blob that was found damaged, and takes the images that need it off the list; the rest of their blobs stays
   * until `collect`.
   *
   * @param options.keepsFile - as for remove.
   * @returns their references.
   */
  dropBlob(digest: Digest, options?: { readonly keepsFile?: boolean }): Promise<readonly string[]>;
  /** All blobs by digest, a page at a time; `needed` by an image that is listed. */
  blobRows(): AsyncIterable<StoredBlob & { readonly needed: boolean }>;

  /**
   * Lists an image in the place of what its reference named before, in one durable transaction; index.json follows within
   * a second or so, at the latest by close(). A second import of the same manifest takes nothing away that was known.
   *
   * @throws STORE_CORRUPT when one of its blobs is not there any more: bring it once more.
   */
  commitRegistryImage(commit: RegistryCommit): Promise<RegistryImage>;
  findRegistryImage(reference: string): Promise<RegistryImage | undefined>;
  /** All registry images by import time, a page at a time. */
  registryImages(): AsyncIterable<RegistryImage>;
  /**
   * The digest of a listed manifest, index or derived manifest that begins so.
   *
   * @param prefix - `sha256:` and 2 to 64 hex digits.
   * @throws NOT_IN_STORE, ID_AMBIGUOUS, ID_TOO_SHORT, REFERENCE_INVALID
   */
  resolveDigest(prefix: string): Promise<Digest>;
  /** The images whose manifest, index or derived manifest it is, or that it was made of, by import time. */
  registryImagesOf(id: Digest | ImageId): Promise<readonly RegistryImage[]>;
  /** As touch. */
  touchRegistryImage(reference: string): void;
  /**
   * Takes an image off the list, out of index.json, and removes the blobs that nothing else needs.
   *
   * @param asked - a reference, or a digest: then all that `registryImagesOf` gives for it.
   * @returns bytes given back. @throws NOT_IN_STORE
   */
  removeRegistryImage(asked: string): Promise<number>;

  /** What index.json names, ours and that of other tools. @throws STORE_CORRUPT when it cannot be read */
  ociIndex(): Promise<readonly OciDescriptor[]>;
  /** The entries of ours that are whole in index.json, and in those that were set aside. The present one comes first. */
  salvagedEntries(): Promise<readonly OciDescriptor[]>;
  /**
   * Files of `blobs/sha256` that an image should have become of: no image needs them, and no row tells of them, or only that of
   * a process which ended before it had listed an image.
   */
  unlistedBlobs(): AsyncIterable<StoredBlob>;
  /** Takes a file that lies in its place among the blobs, as commitBlob does. @throws STORE_CORRUPT when it is not that one */
  relistBlob(blob: StoredBlob & { readonly stamp: FileStamp }): Promise<void>;
  /**
   * Writes index.json now, for who wants to hear whether it can be.
   *
   * @param options.setAsideDamagedAtMs - one that cannot be read is renamed, with this time, and begun anew.
   * @throws STORE_CORRUPT when it cannot be read: it stays as it is, and so do all blobs.
   */
  writeOciIndex(options?: { readonly setAsideDamagedAtMs?: number }): Promise<void>;
};
