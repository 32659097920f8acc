import type { ErrorData } from '../../errors.ts';
import type { FileStamp } from '../../system/files.ts';

/** Version of the index, `PRAGMA user_version`; both sides name it, so that they cannot disagree. */
export type IndexVersion = 3;

/** The paths of one store, and the modes that what is made in it gets. Plain data: it crosses to the thread. */
export type Layout = {
  readonly dir: string;
  readonly index: string;
  /** `blobs/sha512`: images by the hex digits of their ID. */
  readonly blobs: string;
  /** `blobs/sha256`: what registry images are made of, by the hex digits of the digest. */
  readonly registryBlobs: string;
  /** `index.json`, where other tools find the registry images. */
  readonly ociIndex: string;
  readonly downloads: string;
  readonly tmp: string;
  readonly dirMode: number;
  readonly fileMode: number;
};

/** The facts of one image as the index keeps them; lists are JSON text. */
export type ImageRow = {
  /** 128 hex digits. */
  readonly id: string;
  readonly name: string;
  /** The label `version`, for lookups. */
  readonly version: string | null;
  readonly labels: string;
  readonly dependencies: string;
  readonly size: number;
  readonly latest: number;
  readonly source: string;
  readonly digest: string;
  /** A list of fingerprints; null when it came in without verification. */
  readonly verified: string | null;
  readonly weak: number;
};

export type RemoteRow = {
  /** SHA-256 of the exact URL, hex. */
  readonly key: string;
  readonly image: string;
  readonly etag: string | null;
  readonly lastModified: string | null;
  readonly maxAgeMs: number;
  readonly checkedAtMs: number;
  readonly signatureUrl: string | null;
};

/** The facts of one registry image as the index keeps them. Digests are 64 hex digits. */
export type RegistryRow = {
  /** Whole and normalised. */
  readonly reference: string;
  readonly manifest: string;
  readonly manifestType: string;
  readonly manifestSize: number;
  readonly list: string | null;
  readonly listType: string | null;
  readonly listSize: number | null;
  readonly oci: string | null;
  readonly ociType: string | null;
  readonly ociSize: number | null;
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | null;
  /** The ID of the image that was made of it, 128 hex digits. */
  readonly image: string | null;
  readonly latest: number;
  readonly source: string;
  readonly verified: string | null;
  readonly weak: number;
};

export type GarbageCounts = {
  readonly blobs: number;
  readonly partials: number;
  readonly temporaries: number;
  readonly bytes: number;
  readonly left: readonly string[];
};

type CommitRequest = {
  /** The verified, synced tar; gone from there afterwards, whatever the outcome. `stamp` is that of the descriptor that was hashed. */
  readonly path: string;
  readonly stamp: FileStamp;
  readonly image: ImageRow;
  readonly manifest: string;
  readonly remote?: RemoteRow;
};

type BlobCommitRequest = {
  /** The verified, synced file; gone from there afterwards, whatever the outcome. `stamp` is as in CommitRequest. */
  readonly path: string;
  readonly stamp: FileStamp;
  readonly digest: string;
  readonly size: number;
};

/** A file that lies in its place, hashed and found good; `stamp` is that of the file that was hashed. */
export type RelistRequest =
  | { readonly kind: 'image'; readonly image: ImageRow; readonly manifest: string; readonly stamp: FileStamp }
  | { readonly kind: 'blob'; readonly digest: string; readonly size: number; readonly stamp: FileStamp };

type RegistryCommitRequest = {
  readonly row: RegistryRow;
  /** Every one it needs, those of the row included. */
  readonly blobs: readonly string[];
};

/** `digest` means every image whose manifest, list or derived manifest it is. */
export type RegistryAsked = { readonly reference: string } | { readonly digest: string };

export type CollectRequest = {
  readonly nowMs: number;
  readonly partialsOlderThanMs: number;
  readonly dryRun: boolean;
};

/** Who has the key now: this process, or a living owner that has given no sign of life for so long. */
export type ClaimAnswer = { readonly isOurs: true } | { readonly isOurs: false; readonly silentMs: number };

/** What the thread that owns the index does for the main thread. */
export type WriterTasks = {
  claim: { readonly request: { readonly key: string }; readonly response: ClaimAnswer };
  release: { readonly request: { readonly key: string }; readonly response: undefined };
  commit: { readonly request: CommitRequest; readonly response: undefined };
  putRemote: { readonly request: RemoteRow; readonly response: undefined };
  confirmBlob: { readonly request: { readonly id: string; readonly stamp: FileStamp }; readonly response: undefined };
  touch: { readonly request: { readonly ids: readonly string[]; readonly atMs: number }; readonly response: undefined };
  commitBlob: { readonly request: BlobCommitRequest; readonly response: undefined };
  confirmDigest: {
    readonly request: { readonly digest: string; readonly stamp: FileStamp };
    readonly response: undefined;
  };
  relist: { readonly request: RelistRequest; readonly response: undefined };
  /** The index lists again what it can: from now on it counts as whole. */
  endRelisting: { readonly request: undefined; readonly response: undefined };
  commitRegistryImage: { readonly request: RegistryCommitRequest; readonly response: undefined };
  touchRegistryImages: {
    readonly request: { readonly ids: readonly string[]; readonly atMs: number };
    readonly response: undefined;
  };
  /** Bytes given back; undefined when no such image is listed. `keepsFile`: the blob stays, as one that no row names. */
  remove: {
    readonly request: { readonly id: string; readonly keepsFile: boolean };
    readonly response: number | undefined;
  };
  /** Bytes given back; undefined when no such image is listed. */
  removeRegistryImage: { readonly request: RegistryAsked; readonly response: number | undefined };
  /** References of the images that needed the blob and are off the list now. */
  dropBlob: {
    readonly request: { readonly digest: string; readonly keepsFile: boolean };
    readonly response: readonly string[];
  };
  writeOciIndex: {
    readonly request: { readonly setAsideDamagedAtMs: number | undefined };
    readonly response: undefined;
  };
  collect: { readonly request: CollectRequest; readonly response: GarbageCounts };
  close: { readonly request: undefined; readonly response: undefined };
};

export type WriterTask = keyof WriterTasks;
export type MessageOf<N extends WriterTask> = {
  readonly id: number;
  readonly task: N;
  readonly request: WriterTasks[N]['request'];
};
export type ToWriter = { [N in WriterTask]: MessageOf<N> }[WriterTask];

/** The first answer, to the opening itself, bears the id 0 and the name of this process's directory in `tmp`. */
export type FromWriter =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly failure: Failure };

/** An error as plain data: a structured clone keeps neither an ImageError's class nor a system error's codes. */
export type Failure = {
  readonly message: string;
  readonly stack?: string;
  /** Of an ImageError. */
  readonly known?: ErrorData;
  /** Of a file operation: errno's name and the path. */
  readonly code?: string;
  readonly path?: string;
  /** Of SQLite: the extended result code. */
  readonly errcode?: number;
};
