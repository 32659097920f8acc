import type { ImageId } from '../image/image-id.ts';
import type { Labels } from '../image/labels.ts';
import type { Dependency } from '../image/manifest.ts';
import type { RegistryStore } from './registry-store.ts';
import type { FileStamp } from '../system/files.ts';

/** One image of the store. Times are milliseconds since the epoch. */
export type StoredImage = {
  readonly imageId: ImageId;
  readonly name: string;
  readonly labels: Labels;
  /** Bytes of the uncompressed tar. */
  readonly size: number;
  readonly importedAtMs: number;
  readonly lastUsedAtMs: number;
  readonly latest: boolean;
  /** Where it came from: a URL without credentials and query, or a path. */
  readonly source: string;
  /** `sha256:` and hex of the bytes as transferred. */
  readonly digest: string;
  /** Fingerprints of the keys that signed it, or false: brought in without verification. */
  readonly verified: readonly string[] | false;
  /** Verified only because `weak-keys` was asked for. */
  readonly weak: boolean;
  /** As the manifest lists them; kept in the row so that walking a tree that is all there reads no manifest. */
  readonly dependencies: readonly Dependency[];
};

/** What is remembered of one exact URL. */
export type Remote = {
  readonly imageId: ImageId;
  readonly etag?: string;
  readonly lastModified?: string;
  readonly maxAgeMs: number;
  readonly checkedAtMs: number;
  readonly signatureUrl?: string;
};

/** An image whose tar lies verified and synced at `path`, a name that `temporaryPath` gave. */
export type Commit = {
  readonly path: string;
  /** Of the descriptor that was hashed: another file of that name is refused. */
  readonly stamp: FileStamp;
  readonly image: Omit<StoredImage, 'importedAtMs' | 'lastUsedAtMs'>;
  /** The JSON document as it stood in the archive. */
  readonly manifest: string;
  /** Written in the same transaction. `url` is exact; only its hash is stored. */
  readonly remote?: { readonly url: string; readonly record: Remote };
};

/** How a blob on disk compares with what the index says: size, mtime, ctime and inode. */
export type BlobState = 'intact' | 'changed' | 'missing';

/** The strong validator of a partial download. @see rules.md H4 */
export type Validator = { readonly kind: 'etag' | 'last-modified'; readonly value: string };

/**
 * An append-only file that one download fills, under a claim. A changed file at the server or a restart is a new epoch:
 * a new, empty file under another path.
 */
export type PartialDownload = {
  readonly path: string;
  /** Bytes that are in the file now. */
  readonly bytes: number;
  readonly validator: Validator | undefined;
  /** Whole length, where the server said one. */
  readonly total: number | undefined;
  /** Drops what is there and begins a new epoch. */
  restart(about: { validator?: Validator; total?: number }): Promise<void>;
  /** Writes at the end; fdatasync and sidecar every 32 MiB are its own affair. */
  append(chunks: readonly Uint8Array[]): Promise<void>;
  /** Everything appended so far survives a power cut once this resolves. */
  sync(): Promise<void>;
  /** Removes the files of this download. */
  discard(): Promise<void>;
  /** Syncs, and keeps the files for a later run. */
  close(): Promise<void>;
};

export type Claim = AsyncDisposable & {
  /** True when another owner held it first: what is wanted may be there by now. */
  readonly waited: boolean;
  release(): Promise<void>;
};

/** Told when a holder that is alive has given no sign of life for a while, and when it is waited for no longer. */
export type OnSilence = (what: 'still waiting' | 'going on alone') => void;

/** How long a holder of a claim may give no sign of life. */
export type Patience = { readonly sayMs: number; readonly aloneMs: number };

export type GarbageReport = {
  readonly blobs: number;
  readonly partials: number;
  readonly temporaries: number;
  readonly bytes: number;
  /** Paths of what dead processes left and could not be removed, as when it belongs to another user. */
  readonly left: readonly string[];
};

export type StoreOptions = {
  /** Absolute path of the data directory; made when it is not there, unless readOnly. */
  readonly dir: string;
  readonly readOnly?: boolean;
  /** Default 5 s and 60 s. */
  readonly patience?: Patience;
  /** Opens also a store whose index is lost, and lists nothing yet: for a repair, which lists its blobs again. */
  readonly relisting?: boolean;
};

/** The store of one data directory, opened by one process. Every promise may reject with a STORE_ code. */
export type Store = ImageStore & RegistryStore;

/** The images, and what comes with them. */
type ImageStore = AsyncDisposable & {
  readonly dir: string;
  readonly readOnly: boolean;

  /** @param prefix - `sha512-` and 2 to 128 hex digits. @throws NOT_IN_STORE, ID_AMBIGUOUS, ID_TOO_SHORT */
  resolveId(prefix: string): Promise<ImageId>;
  getImage(imageId: ImageId): Promise<StoredImage | undefined>;
  /**
   * The best image of that name whose manifest has every one of `labels`, and none of `defaults` with another value.
   *
   * @see rkt-surroundings S30-S34, D24
   */
  findImage(name: string, labels: Labels, defaults?: Labels): Promise<StoredImage | undefined>;
  /** Every image of exactly that name. */
  imagesNamed(name: string): Promise<readonly StoredImage[]>;
  /** All images by import time, a page at a time. */
  images(): AsyncIterable<StoredImage>;
  /** The manifest's JSON text. @throws NOT_IN_STORE */
  manifest(imageId: ImageId): Promise<string>;
  /** Reads the whole index, and whether it contradicts itself. @throws STORE_CORRUPT */
  checkIndex(): Promise<void>;
  getRemote(url: string): Promise<Remote | undefined>;
  putRemote(url: string, record: Remote): Promise<void>;

  blobPath(imageId: ImageId): string;
  blobState(imageId: ImageId): Promise<BlobState>;
  /**
   * Remembers the stamp of a blob that has been hashed and found good.
   *
   * @param stamp - taken before it was hashed. @throws STORE_CORRUPT when it is another file now
   */
  confirmBlob(imageId: ImageId, stamp: FileStamp): Promise<void>;
  /** Marks use; written lazily, in groups, at the latest by close(). */
  touch(imageId: ImageId): void;

  /** A fresh name in this process's private directory; nothing is created. */
  temporaryPath(): string;
  /** Group commit: rename, fsync of the directory, one index transaction. Resolves when it is durable and visible. */
  commit(commit: Commit): Promise<StoredImage>;
  /** Lists an image whose tar lies in its place; one that is listed already stays so. @throws STORE_CORRUPT when it is not that file */
  relist(image: Omit<Commit, 'path' | 'remote'>): Promise<void>;
  /** The store lists again what it can: from now on it can be opened by everybody. */
  endRelisting(): Promise<void>;
  /**
   * Takes an image off the list and removes its blob, remotes too.
   *
   * @param options.keepsFile - the blob stays where it is: what could not be read may be good.
   * @returns bytes given back. @throws NOT_IN_STORE
   */
  remove(imageId: ImageId, options?: { readonly keepsFile?: boolean }): Promise<number>;
  /**
   * Removes unreferenced blobs, partial downloads older than `partialsOlderThanMs`, and what dead owners left. Of a
   * registry's blobs stay also what a living process has brought in for an image that is not committed yet, what other
   * tools name in index.json (when it cannot be read: all), and files younger than `partialsOlderThanMs` of which nothing
   * is known: another tool may just be writing them.
   */
  collect(options: {
    readonly nowMs: number;
    readonly partialsOlderThanMs: number;
    readonly dryRun?: boolean;
  }): Promise<GarbageReport>;
  /** Files of images, in `blobs/sha512`, that no row names, one path at a time. */
  unreferenced(): AsyncIterable<string>;

  /**
   * Waits for the single flight of `key` among all processes; within the process too. Only a hash of the key is kept. The
   * claim of a URL is taken with the exact URL itself, that of a registry's blob with its digest: that also keeps
   * `collect` from its partial download.
   *
   * Who holds it may be stopped: then there comes a time at which the caller gets on without it, as if the claim were its own.
   * `openPartial` works in this process's private directory then.
   */
  claim(key: string, signal: AbortSignal, onSilence?: OnSilence): Promise<Claim>;
  /** The claim if nobody holds it, at once; undefined otherwise. A dead holder's claim is taken over. */
  tryClaim(key: string): Promise<Claim | undefined>;
  /** Opens or resumes the partial download of an exact URL or of a digest; the caller holds the claim of the same text. */
  openPartial(key: string): Promise<PartialDownload>;
  /** What a partial download of an exact URL has so far, if it can be resumed; changes nothing and needs no claim. */
  peekPartial(url: string): Promise<Pick<PartialDownload, 'bytes' | 'validator' | 'total'> | undefined>;

  close(): Promise<void>;
};
