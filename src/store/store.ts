import type { ImageId } from '../image/image-id.ts';
import type { Labels } from '../image/labels.ts';
import type { Dependency } from '../image/manifest.ts';
import type { ArchiveSignature, Proof } from '../image/proof.ts';
import type { FileStamp } from '../system/files.ts';
import type { HostLevel } from './host-levels.ts';
import type { BlobState, KeptArchive, RegistryStore } from './registry-store.ts';

/** One image in the store. Times are milliseconds since the epoch. */
export type StoredImage = {
  readonly imageId: ImageId;
  readonly name: string;
  readonly labels: Labels;
  /** Bytes of the uncompressed tar. */
  readonly size: number;
  readonly importedAtMs: number;
  readonly lastUsedAtMs: number;
  readonly latest: boolean;
  /** Where it was fetched from: a URL without credentials and query, or a path. */
  readonly source: string;
  /** `sha256:` and hex of the bytes as transferred. */
  readonly digest: string;
  /** Fingerprints of the keys that signed it; false when it was imported without verification. */
  readonly verified: readonly string[] | false;
  /** Verified only because `weak-keys` was asked for. */
  readonly weak: boolean;
  /** As in the manifest. They are part of the row so that walking a stored tree reads no manifests. */
  readonly dependencies: readonly Dependency[];
  /** Its archive as it was transferred, if that is kept too. */
  readonly archive?: KeptArchive;
};

/** A kept archive, with all that is needed to offer it to others as it was offered to this store. */
export type SignedArchive = KeptArchive & {
  /** Of its file, which may be damaged or gone, as any blob: `digestState` tells. */
  readonly path: string;
  /** Where it was fetched from: a URL without credentials and query, or a path. */
  readonly source: string;
  /** The signature files that are about exactly these bytes, and were good when they came; none if it was not verified. */
  readonly signatures: readonly ArchiveSignature[];
};

/** The cached state of one exact URL. */
export type Remote = {
  readonly imageId: ImageId;
  readonly etag?: string;
  readonly lastModified?: string;
  readonly maxAgeMs: number;
  readonly checkedAtMs: number;
  readonly signatureUrl?: string;
};

/** What a server answered. `value` is a text that only who asked can read: it may have been changed by others. */
type Answer = { readonly value: string; readonly answeredAtMs: number };

/** An image whose verified and synced tar is at `path`, which `temporaryPath` returned. */
export type Commit = {
  readonly path: string;
  /** Of the descriptor that was hashed: another file at that path is refused. */
  readonly stamp: FileStamp;
  readonly image: Omit<StoredImage, 'importedAtMs' | 'lastUsedAtMs' | 'archive'>;
  /** The JSON document as in the archive. */
  readonly manifest: string;
  /** Written in the same transaction. `url` is exact; only its hash is stored. */
  readonly remote?: { readonly url: string; readonly record: Remote };
  /** What made the image trusted. */
  readonly proofs?: readonly Proof[];
  /**
   * The archive as it was transferred, if it is to be kept: a verified, synced file of the same filesystem. Afterwards it is gone from
   * `path`, whatever the outcome. An archive with a signature does not give way to one without.
   */
  readonly archive?: KeptArchive & { readonly path: string; readonly stamp: FileStamp };
};

/** The strong validator of a partial download. @see rules.md H4 */
export type Validator = { readonly kind: 'etag' | 'last-modified'; readonly value: string };

/**
 * An append-only file that one download fills, under a claim. When the file on the server has changed, or the download
 * starts over, a new epoch begins: a new, empty file at another path.
 */
export type PartialDownload = {
  readonly path: string;
  /** Bytes in the file now. */
  readonly bytes: number;
  readonly validator: Validator | undefined;
  /** The whole length, if the server has sent one. */
  readonly total: number | undefined;
  /** Drops the bytes and begins a new epoch. */
  restart(about: { validator?: Validator; total?: number }): Promise<void>;
  /** Writes at the end. Every 32 MiB are synced, with the sidecar, in the background. */
  append(chunks: readonly Uint8Array[]): Promise<void>;
  /** Resolves once everything appended so far survives a power cut. */
  sync(): Promise<void>;
  /** Removes the files of this download. */
  discard(): Promise<void>;
  /** Syncs, and keeps the files for a later run. */
  close(): Promise<void>;
};

export type Claim = AsyncDisposable & {
  /** True when another owner held it first: the image may be in the store by now. */
  readonly waited: boolean;
  release(): Promise<void>;
};

/** Called when a living holder has given no sign of life for a while, and when the caller stops waiting for it. */
export type OnSilence = (what: 'still waiting' | 'going on alone') => void;

/**
 * How long a holder of a claim may give no sign of life before this is reported (`sayMs`), and before others stop
 * waiting (`aloneMs`).
 */
export type Patience = { readonly sayMs: number; readonly aloneMs: number };

export type GarbageReport = {
  readonly blobs: number;
  readonly partials: number;
  readonly temporaries: number;
  readonly bytes: number;
  /** Paths that dead processes left and that could not be removed, for instance since they belong to another user. */
  readonly left: readonly string[];
};

export type StoreOptions = {
  /** Absolute path of the data directory. It is created if needed, unless readOnly. */
  readonly dir: string;
  readonly readOnly?: boolean;
  /** Default 5 s and 60 s. */
  readonly patience?: Patience;
  /** Also opens a store whose index is lost, with no images listed: for a repair, which lists its blobs again. */
  readonly relisting?: boolean;
  /** Little will be written: the index needs no thread, which would take longer to start. Default false. */
  readonly writesLittle?: boolean;
  /** What the thread of the index runs, as a URL; default our own. */
  readonly workerFile?: string | undefined;
};

/**
 * The store of one data directory, opened by one process. Every promise may reject with a STORE_ code, and with CLOSED once
 * the store is closed, as does what is under way then.
 */
export type Store = ImageStore & RegistryStore;

/** The images, and the operations on the whole store. */
type ImageStore = AsyncDisposable & {
  readonly dir: string;
  readonly readOnly: boolean;
  /** Aborted when the store is closed, with CLOSED as the reason. */
  readonly closed: AbortSignal;

  /** @param prefix - `sha512-` and 2 to 128 hex digits. @throws NOT_IN_STORE, ID_AMBIGUOUS, ID_TOO_SHORT */
  resolveId(prefix: string): Promise<ImageId>;
  getImage(imageId: ImageId): Promise<StoredImage | undefined>;
  /**
   * What made an image trusted; empty if it was not verified, or by a version that kept no proofs.
   *
   * @param image - an image ID, or the reference of a registry image.
   */
  proofsOf(image: string): Promise<readonly Proof[]>;
  /** The archive of an image as it was transferred; undefined if it is not kept. */
  archiveOf(imageId: ImageId): Promise<SignedArchive | undefined>;
  /**
   * The best image of that name that has all of `labels`, and none of `defaults` with another value.
   *
   * @see rkt v1.2.0 store/store.go, GetACI
   */
  findImage(name: string, labels: Labels, defaults?: Labels): Promise<StoredImage | undefined>;
  /** What findImage and blobState would find, if that can be told without waiting, and the blob is intact. */
  findIntactAtOnce(name: string, labels: Labels, defaults?: Labels): StoredImage | undefined;
  /** Every image of exactly that name. */
  imagesNamed(name: string): Promise<readonly StoredImage[]>;
  /**
   * All images by import time, one page at a time.
   *
   * @param options.alone - without those that a registry image was converted to, and that are listed with it.
   */
  images(options?: { readonly alone?: boolean }): AsyncIterable<StoredImage>;
  /** The manifest's JSON text. @throws NOT_IN_STORE */
  manifest(imageId: ImageId): Promise<string>;
  /** Checks the whole index for contradictions. @throws STORE_CORRUPT */
  checkIndex(): Promise<void>;
  getRemote(url: string): Promise<Remote | undefined>;
  putRemote(url: string, record: Remote): Promise<void>;
  /** The answer that was put last to the same question. */
  getAnswer(question: string): Promise<Answer | undefined>;
  /**
   * Keeps an answer for a while; the oldest give way if there are many. Only a hash of the question is stored.
   *
   * @param answer - undefined to forget what was answered.
   */
  putAnswer(question: string, answer: Answer | undefined): Promise<void>;
  /** A random text that this store was made with, for hashes that are put into it. */
  salt(): Promise<string>;

  blobPath(imageId: ImageId): string;
  blobState(imageId: ImageId): Promise<BlobState>;
  /**
   * Records the stamp of a blob that was hashed and found good.
   *
   * @param stamp - taken before it was hashed. @throws STORE_CORRUPT when the file has changed since
   */
  confirmBlob(imageId: ImageId, stamp: FileStamp): Promise<void>;
  /** Records that the image was used. Written later, in groups, at the latest by close(). */
  touch(imageId: ImageId): void;

  /** A new name in this process's private directory; nothing is created. */
  temporaryPath(): string;
  /**
   * Group commit: renames the tar, syncs the directory, and writes one transaction. Resolves when the image is durable
   * and visible.
   */
  commit(commit: Commit): Promise<StoredImage>;
  /**
   * Lists an image whose tar is already in its final place, unless it is listed. @throws STORE_CORRUPT when the file is
   * another one
   */
  relist(image: Omit<Commit, 'path' | 'remote'>): Promise<void>;
  /** Ends a repair: all blobs that can be listed are listed again, and the store can be opened normally. */
  endRelisting(): Promise<void>;
  /**
   * Unlists an image, and removes its blob, its archive and its remotes.
   *
   * @param options.keepsFile - the blob and the archive stay, since a file that could not be read may be good.
   * @returns bytes freed. @throws NOT_IN_STORE
   */
  remove(imageId: ImageId, options?: { readonly keepsFile?: boolean }): Promise<number>;
  /**
   * Removes unreferenced blobs, partial downloads older than `partialsOlderThanMs`, and files of dead processes. It
   * keeps these registry blobs: those that a living process has imported for an image that is not committed yet; those
   * that other tools have listed in index.json (all, when it cannot be read); and files without a row that are younger
   * than `partialsOlderThanMs`, since another tool may still be writing them.
   */
  collect(options: {
    readonly nowMs: number;
    readonly partialsOlderThanMs: number;
    readonly dryRun?: boolean;
  }): Promise<GarbageReport>;
  /** Image files in `blobs/sha512` that are not listed, one path at a time. */
  unreferenced(): AsyncIterable<string>;

  /**
   * Waits for the exclusive right to fetch `key`, among all callers and processes. Only a hash of the key is stored.
   * The claim of a URL has the exact URL as its key, that of a registry blob its digest: `collect` then keeps the
   * partial download.
   *
   * A holder that is stopped is not waited for without end: after a while the caller goes on as if it had the claim.
   * `openPartial` then works in this process's private directory.
   */
  claim(key: string, signal: AbortSignal, onSilence?: OnSilence): Promise<Claim>;
  /** Takes the claim at once if it is free; undefined otherwise. The claim of a dead process is free. */
  tryClaim(key: string): Promise<Claim | undefined>;
  /** Opens or resumes the partial download of an exact URL or a digest. The caller holds the claim of the same key. */
  openPartial(key: string): Promise<PartialDownload>;
  /** The state of the partial download of an exact URL, if it can be resumed. Changes nothing and needs no claim. */
  peekPartial(url: string): Promise<Pick<PartialDownload, 'bytes' | 'validator' | 'total'> | undefined>;
  /**
   * Reserves room for parts that are to be downloaded, all or none: by exact URL or digest, the bytes. A part that is reserved
   * several times counts once; what has been written of it no longer counts. Opening a partial download, and beginning one of known
   * size, reserves it as well. @throws STORE_FULL
   */
  reserve(parts: ReadonlyMap<string, number>): Promise<Disposable>;
  /** The bytes that are free for downloads on the disk of the store. */
  freeBytes(): Promise<number>;

  /** What fetches of the last hour found of hosts; nothing if that cannot be read. */
  hostLevels(): Promise<ReadonlyMap<string, HostLevel>>;
  /** Keeps what was found of hosts. It is not synced, and nothing depends on it. */
  putHostLevels(levels: ReadonlyMap<string, HostLevel>): Promise<void>;

  /** Ends what is under way, and writes what was put off. Closing again changes nothing. */
  close(): Promise<void>;
};
