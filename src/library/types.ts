import type { Readable, Writable } from 'node:stream';

import type { App } from '../image/apps.ts';
import type { Limits } from '../image/limits.ts';
import type { ExtractionReport } from '../images/extract.ts';
import type { ImageRow, SortField } from '../images/list.ts';
import type { BatchCall, BatchResult, FetchCall, FetchSettings, ImportCall, PlanCall, PlanResult } from '../options.ts';
import type { PushCall, PushInput, PushResult, PushSettings } from '../pusher.ts';
import type { TrustedKeyRow } from '../verify/list-trusted-keys.ts';

/** What openStore is given. */
export type StoreOptions = {
  /** The data directory: an absolute path. It is created if it does not exist; with `readOnly` it is then read as an empty one. */
  readonly dir: string;
  /** Nothing in the directory is changed: what would change it ends with STORE_READ_ONLY. Finders need `storeOnly` then. Default false. */
  readonly readOnly?: boolean | undefined;
  /**
   * For a program that is bundled: where its bundle of `longshore/worker` is, a `file:` URL, such as
   * `new URL('./longshore-worker.js', import.meta.url)`. Default: the file in the installed package. Finders
   * start their threads from it too.
   */
  readonly workerUrl?: URL | string | undefined;
};

/** What an operation on a store may be given. */
export type CallOptions = {
  /** Stops the operation, which then rejects with CANCELLED. */
  readonly signal?: AbortSignal | undefined;
};

/** The images of one data directory. Several processes may have it open at the same time. */
export type Store = AsyncDisposable & {
  /** The data directory. */
  readonly dir: string;
  /** Whether it was opened with `readOnly`. */
  readonly readOnly: boolean;
  /**
   * Lists all images, also those that are kept as a registry served them. Such an image and the archive that was made of it are one row.
   *
   * @param options - `sort` defaults to `importtime`, which reads row by row; other orders keep all rows in memory.
   */
  images(options?: {
    readonly sort?: SortField | undefined;
    readonly order?: 'asc' | 'desc' | undefined;
  }): AsyncIterable<ImageRow>;
  /**
   * Finds one image.
   *
   * @param image - an image ID, a digest, a unique prefix of one of these, a name with labels, the URL that it was
   * fetched from, or the reference of a registry image.
   * @throws NOT_IN_STORE, ID_AMBIGUOUS, ID_TOO_SHORT, REFERENCE_INVALID
   */
  image(image: string): Promise<ImageRow>;
  /** The manifest of an image: its JSON text as in the archive, or as the registry served it. @throws as image */
  manifest(image: string): Promise<string>;
  /**
   * Reads and hashes the images, and their blobs, and reports what is damaged. It changes nothing.
   *
   * @param options - `images` names some of them; default all.
   * @throws as image, for a name that is not in the store
   */
  verify(options?: CallOptions & { readonly images?: readonly string[] | undefined }): Promise<VerifyReport>;
  /**
   * Writes an image to a file, which is either complete and intact or not there.
   *
   * @throws as image; NOT_IN_STORE for a `format` that it cannot be written in, and the errors of a conversion; STORE_CORRUPT if the image is damaged, USAGE if `to`
   * exists, FILE_NOT_FOUND if its directory does not; STORE_FULL, STORE_READ_ONLY, FILE_UNREADABLE where `to` cannot be written, and
   * OUTPUT_FAILED where a stream cannot
   */
  export(image: string, options: ExportOptions): Promise<void>;
  /**
   * Writes the files of an image to a directory.
   *
   * @returns what could not be written, such as devices without the rights of root.
   * @throws as image; STORE_CORRUPT if the image is damaged; of `to` as export
   */
  extract(image: string, options: ExtractOptions): Promise<ExtractionReport>;
  /**
   * Removes an image, in each form that it is kept in, and the blobs that no other image needs. A name removes all images with it.
   *
   * @returns the removed images. @throws as image; STORE_READ_ONLY
   */
  remove(image: string): Promise<readonly ImageRow[]>;
  /** Removes unused images, if `unusedForMs` is given, and then everything that no image needs. @throws STORE_READ_ONLY */
  collectGarbage(options?: CollectOptions): Promise<GarbageReport>;
  /**
   * Removes all images that no reference of `keep` stands for or needs, and then everything that no image needs. The network is not
   * asked. Images that come or are used meanwhile stay.
   *
   * @throws before anything is removed: USAGE if nothing would be left, unless `removesAll` is set, REFERENCE_INVALID, and NOT_IN_STORE
   *   or ID_AMBIGUOUS for a reference that the store cannot answer; STORE_READ_ONLY
   */
  prune(options: PruneOptions): Promise<PruneReport>;
  /** Closes the store. Every later call, and every fetch that is under way, ends with CLOSED. */
  close(): Promise<void>;
};

/** What `store.export` is given. */
export type ExportOptions = CallOptions & {
  /** Absolute path of the file to make, or a stream, which stays open: the export ends when that has taken all. */
  readonly to: string | Writable;
  /**
   * Default: `aci` for an archive, `oci` for an image that is kept as a registry served it. Of such an image an archive
   * is made, and not stored.
   */
  readonly format?: 'aci' | 'oci' | 'docker' | undefined;
  /** Whether an existing file may be replaced. Default false. */
  readonly overwrite?: boolean | undefined;
  /** Limits of an archive that is made for this. A member that is left out has its default. */
  readonly limits?: { readonly [N in keyof Limits]?: number | undefined } | undefined;
};

/** What `store.extract` is given. */
export type ExtractOptions = CallOptions & {
  /** Absolute path of the directory to make. */
  readonly to: string;
  /** Whether the files of its dependencies are written too, below its own. Default false. */
  readonly withDeps?: boolean | undefined;
  /** Whether only the content of `rootfs` is written, without the manifest. Default false. */
  readonly rootfsOnly?: boolean | undefined;
  /** Whether an existing directory may be replaced. Default false. */
  readonly overwrite?: boolean | undefined;
  /** Limits of what is read. A member that is left out has its default. */
  readonly limits?: { readonly [N in keyof Limits]?: number | undefined } | undefined;
};

/** What `store.collectGarbage` may be given. Times are in milliseconds. */
export type CollectOptions = {
  /** Removes images that were not used for so long. Default: no image is removed. */
  readonly unusedForMs?: number | undefined;
  /** Removes partial downloads that were not resumed for so long. Default 24 h. */
  readonly partialsOlderThanMs?: number | undefined;
  /** Reports what would be removed. Default false. */
  readonly dryRun?: boolean | undefined;
};

/** What `store.collectGarbage` has removed, or would remove with `dryRun`. */
export type GarbageReport = {
  /** The removed images. */
  readonly images: readonly ImageRow[];
  /** Files that no image needed. */
  readonly blobs: number;
  /** Partial downloads. */
  readonly partials: number;
  /** Directories that dead processes left. */
  readonly temporaries: number;
  /** Bytes freed. */
  readonly bytes: number;
};

/** What `store.prune` is given. */
export type PruneOptions = CallOptions & {
  /** What stays: references as findImages takes them. Of an image of a registry all platforms stay that the store has. */
  readonly keep: readonly string[];
  /** Whether everything may be removed. Default false. */
  readonly removesAll?: boolean | undefined;
  /** Reports what would be removed. Default false. */
  readonly dryRun?: boolean | undefined;
};

/** What `store.prune` has removed, or would remove with `dryRun`. */
export type PruneReport = GarbageReport & {
  /** How many images stay. */
  readonly kept: number;
};

/** What `store.verify` has found. */
export type VerifyReport = {
  /** How many images and blobs were read. */
  readonly checked: number;
  /** Bytes of what was read. */
  readonly bytes: number;
  /** What is damaged; empty if everything is intact. The store stays as it is: fetch the images again with `noStore`. */
  readonly damaged: readonly {
    /** The image ID; for a blob of registry images, its digest. */
    readonly id: string;
    /** What is wrong with its file. */
    readonly problem: 'missing' | 'wrong size' | 'wrong hash' | 'unreadable';
    /** The images that need it: image IDs; for a blob, references of registry images. */
    readonly images: readonly string[];
  }[];
};

/** What openKeystore is given. */
export type KeystoreOptions = {
  /**
   * Absolute paths of directories with `trustedkeys/root.d` and `trustedkeys/prefix.d`, as rkt has them. A later
   * directory adds keys, and can mask those of earlier ones. They need not exist.
   */
  readonly dirs: readonly string[];
  /**
   * The absolute path of a trusted_root.json of sigstore, which certificates, log entries and time stamps are judged by, in place of
   * `trustedkeys/trusted_root.json` of the last directory that has one.
   */
  readonly trustedRoot?: string | undefined;
  /** Receives one message for each key file that is skipped. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** As in StoreOptions. */
  readonly workerUrl?: URL | string | undefined;
};

/** What a key is trusted for, and where that is written. */
export type TrustOptions = {
  /** Trusts the key for image names that are this prefix or begin with it and a slash: `example.com/team`. */
  readonly prefix?: string | undefined;
  /** Trusts the key for every name. Either this or `prefix` must be given. */
  readonly root?: boolean | undefined;
  /** Which of the directories the key is written to. Default: the last one. */
  readonly dir?: string | undefined;
};

/** A key that was added. */
export type TrustedKey = {
  /** Lower-case hexadecimal digits. */
  readonly fingerprint: string;
  /** User IDs as the key has them: text from outside. */
  readonly identities: readonly string[];
  /** The file that it was written to. */
  readonly path: string;
};

/** The OpenPGP keys that images must be signed with. */
export type Keystore = AsyncDisposable & {
  /** The directories, as they were given. */
  readonly dirs: readonly string[];
  /**
   * Trusts the keys of a file.
   *
   * @param key - the content of the key file: armored text or binary, one certificate or several.
   * @throws KEY_INVALID for a secret key, and where no certificate can be used; NAME_INVALID for the prefix; USAGE,
   * LIMIT_EXCEEDED, STORE_READ_ONLY, STORE_FULL. Keys that were added before stay.
   */
  trust(key: string | Uint8Array, options: TrustOptions): Promise<readonly TrustedKey[]>;
  /** All keys, with what they say of themselves. */
  list(): Promise<readonly TrustedKeyRow[]>;
  /**
   * Stops trusting a key: removes its file from the last directory, and masks it if an earlier one has it.
   *
   * @param fingerprint - all of its hexadecimal digits.
   * @returns false if it was not trusted there. @throws KEY_INVALID for what is no fingerprint, USAGE, STORE_READ_ONLY, STORE_FULL
   */
  distrust(fingerprint: string, options: TrustOptions): Promise<boolean>;
  /** Closes the keystore. Later calls end with CLOSED. */
  close(): Promise<void>;
};

/** What openPolicy is given. */
export type PolicyOptions = {
  /** The absolute path of a `policy.json`, as podman and skopeo read it. */
  readonly file: string;
};

/** What images of registries must meet to be accepted, as it was read. Later changes of the files do not count. */
export type Policy = {
  /** The path of the policy. */
  readonly file: string;
};

/** What a fetcher or a finder works with, and how. A member that is undefined counts as absent. */
export type ActionOptions = FetchSettings & {
  /** Where images are put. It must stay open as long as the finder. */
  readonly store: Store;
  /** The keys that images must be signed with. Without it, `insecure.image` must be true. */
  readonly keystore?: Keystore | undefined;
  /** What images of registries need, in the place of signatures by the keys of the keystore. Not together with `insecure.image`. */
  readonly policy?: Policy | undefined;
  /** Threads to share with other finders, in place of `workers`; the finder does not close them. Default: threads of its own. */
  readonly pool?: Pool | undefined;
};

/** Threads that hash, decompress and verify. */
export type Pool = AsyncDisposable & {
  /** Ends the threads. What they have not finished ends with CLOSED. */
  close(): Promise<void>;
};

/** What openPool may be given. */
export type PoolOptions = {
  /** Threads. Default: as many as processors that this process may use. */
  readonly workers?: number | undefined;
  /** Transfers at the same time of all finders that share the threads. Default `auto`, as for finders. */
  readonly jobs?: number | 'auto' | undefined;
  /** As in StoreOptions. */
  readonly workerUrl?: URL | string | undefined;
};

/** Finds images in the store, and fetches those that it does not have. Made by createFinder. */
export type Finder = AsyncDisposable & {
  /**
   * Finds one image, with its dependencies: in the store if the policy allows it, else in the network.
   *
   * @param image - a name with labels, a URL, a path, an image ID, or `docker://` and a reference.
   * @returns the image ID; the digest of the manifest for a registry image of which no archive is asked for (`keep`).
   * @throws the error of its outcome, as an ImageError; CANCELLED after an abort
   */
  findImage(image: string, call?: FetchCall): Promise<string>;
  /**
   * Finds many images, each with its dependencies. It resolves also if images fail: `outcomes` are in the order of
   * `apps`, and `app.imageID` is set for those that are in the store.
   *
   * @throws only what a callback throws, CLOSED, and USAGE
   */
  findImages(apps: Iterable<App | string>, call?: BatchCall): Promise<BatchResult>;
  /** Says what findImages would do. It asks the store and the network, and changes nothing. */
  planImages(apps: Iterable<App | string>, call?: PlanCall): Promise<PlanResult>;
  /**
   * Brings the images of an archive or a layout of OCI, of docker or of a bundle into the store, checked as those of registries.
   *
   * @param from - the absolute path of a file or directory, or a stream, which is destroyed at the end.
   * @throws FILE_NOT_FOUND, FILE_UNREADABLE, ARCHIVE_ and MANIFEST_ codes, if it cannot be read to its end
   */
  importImages(from: string | Readable, call?: ImportCall): Promise<BatchResult>;
  /** Cancels what is under way, and resolves when it has ended. Later calls end with CLOSED. */
  close(): Promise<void>;
};

/** Fetches single images into the store. Made by createFetcher. */
export type Fetcher = AsyncDisposable & {
  /**
   * Fetches one image, with its dependencies, into the store. An image ID cannot be fetched: that is REFERENCE_INVALID.
   *
   * @returns and @throws as findImage
   */
  fetchImage(image: string, call?: FetchCall): Promise<string>;
  /** Cancels what is under way, and resolves when it has ended. Later calls end with CLOSED. */
  close(): Promise<void>;
};

/** What createPusher is given. */
export type PusherOptions = PushSettings & {
  /** Where the images are. It must stay open as long as the pusher, and may be `readOnly`. */
  readonly store: Store;
  /** Threads to share with finders, in place of `workers`; the pusher does not close them. Default: threads of its own. */
  readonly pool?: Pool | undefined;
};

/** Pushes images of a store into registries, as they came. */
export type Pusher = AsyncDisposable & {
  /**
   * Pushes many images. It resolves also if images fail: `outcomes` are in the order of the images, an image that a digest or a name
   * stands for several times as often. What the registry has is not sent again; a tag comes after all that it stands for.
   *
   * @param images - references, as they were fetched, digests, image IDs, names.
   * @throws USAGE before anything is sent if `to` is no registry, or two images would get the same name there; what a callback throws;
   * CLOSED
   */
  pushImages(images: Iterable<string | PushInput>, call: PushCall): Promise<PushResult>;
  /** Stops all pushes. */
  close(): Promise<void>;
};
