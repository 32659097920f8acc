import type { ErrorData } from '../../errors.ts';
import type { FileStamp } from '../../system/files.ts';
import type { GarbageReport } from '../store.ts';

/** How long a read or a write waits for the transaction of another process. */
export const busyMs = 10_000;

/** Version of the index, `PRAGMA user_version`: the number of steps that lead to it in `writer/open-index.ts`. */
export const indexVersion = 7;

/** The paths of a store, and the modes of its files and directories. Plain data, since it is sent to the thread. */
export type Layout = {
  readonly dir: string;
  readonly index: string;
  /** `blobs/sha512`: images by the hex digits of their ID. */
  readonly blobs: string;
  /** `blobs/sha256`: the blobs of registry images, by the hex digits of their digest. */
  readonly registryBlobs: string;
  /** `index.json`, where other tools find the registry images. */
  readonly ociIndex: string;
  readonly downloads: string;
  readonly tmp: string;
  readonly dirMode: number;
  readonly fileMode: number;
};

/** One image as the index stores it. Lists are JSON text. */
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
  /** A list of fingerprints; null when it was imported without verification. */
  readonly verified: string | null;
  readonly weak: number;
} & { readonly [C in keyof ArchiveColumns]: ArchiveColumns[C] | null };

/** The archive of an image as it was transferred: the hex digits of its digest, its bytes, and how it is compressed. */
export type ArchiveColumns = {
  readonly archive: string;
  readonly archiveSize: number;
  readonly compression: string;
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

/** What a server answered to a question. Without a `value` the answer is forgotten. */
export type AnswerRow = {
  /** SHA-256 of the question, hex. */
  readonly key: string;
  readonly value: string | null;
  readonly answeredAtMs: number;
};

/** One registry image as the index stores it. Digests are 64 hex digits. */
export type RegistryRow = {
  /** Complete and normalised. */
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
  /** Lists as JSON text; null where there is none. */
  readonly platforms: string | null;
  readonly referrers: string | null;
  /** The ID of the image that it was converted to, 128 hex digits. */
  readonly image: string | null;
  readonly latest: number;
  readonly source: string;
  readonly verified: string | null;
  readonly weak: number;
};

/** A proof as the index stores it. Lists and further facts are JSON text. */
export type ProofRow = {
  readonly kind: string;
  /** A list of fingerprints. */
  readonly signers: string;
  readonly covers: string;
  readonly facts: string;
  readonly bytes: Uint8Array;
};

type CommitRequest = {
  /**
   * The verified, synced tar. It is moved or removed, whatever the outcome. `stamp` is that of the descriptor that was
   * hashed.
   */
  readonly path: string;
  readonly stamp: FileStamp;
  readonly image: ImageRow;
  readonly manifest: string;
  readonly remote?: RemoteRow;
  readonly proofs: readonly ProofRow[];
};

type BlobCommitRequest = {
  /** The verified, synced file. It is moved or removed, whatever the outcome. `stamp` is as in CommitRequest. */
  readonly path: string;
  readonly stamp: FileStamp;
  readonly digest: string;
  readonly size: number;
};

/** A blob that is in its final place and was verified. `stamp` is that of the file that was hashed. */
export type RelistRequest =
  | { readonly kind: 'image'; readonly image: ImageRow; readonly manifest: string; readonly stamp: FileStamp }
  | { readonly kind: 'blob'; readonly digest: string; readonly size: number; readonly stamp: FileStamp }
  | ({ readonly kind: 'archive'; readonly id: string; readonly stamp: FileStamp } & ArchiveColumns);

type RegistryCommitRequest = {
  readonly row: RegistryRow;
  /** All blobs of the image, including those that the row names. */
  readonly blobs: readonly string[];
  readonly proofs: readonly ProofRow[];
};

/** A `digest` selects every image whose manifest, list or derived manifest has it. */
export type RegistryAsked = { readonly reference: string } | { readonly digest: string };

export type CollectRequest = {
  readonly nowMs: number;
  readonly partialsOlderThanMs: number;
  readonly dryRun: boolean;
};

/** Whether this process has the key now. If another process has it: for how long that one has given no sign of life. */
export type ClaimAnswer = { readonly isOurs: true } | { readonly isOurs: false; readonly silentMs: number };

/** The requests that the main thread sends to the index thread. */
export type WriterTasks = {
  claim: { readonly request: { readonly key: string }; readonly response: ClaimAnswer };
  release: { readonly request: { readonly key: string }; readonly response: undefined };
  commit: { readonly request: CommitRequest; readonly response: undefined };
  putRemote: { readonly request: RemoteRow; readonly response: undefined };
  putAnswer: { readonly request: AnswerRow; readonly response: undefined };
  confirmBlob: { readonly request: { readonly id: string; readonly stamp: FileStamp }; readonly response: undefined };
  touch: { readonly request: { readonly ids: readonly string[]; readonly atMs: number }; readonly response: undefined };
  commitBlob: { readonly request: BlobCommitRequest; readonly response: undefined };
  confirmDigest: {
    readonly request: { readonly digest: string; readonly stamp: FileStamp };
    readonly response: undefined;
  };
  relist: { readonly request: RelistRequest; readonly response: undefined };
  /** Marks the index as complete, after a repair has listed all blobs that it can. */
  endRelisting: { readonly request: undefined; readonly response: undefined };
  commitRegistryImage: { readonly request: RegistryCommitRequest; readonly response: undefined };
  touchRegistryImages: {
    readonly request: { readonly ids: readonly string[]; readonly atMs: number };
    readonly response: undefined;
  };
  /**
   * Answers the number of bytes freed; undefined when the image is not listed. With `keepsFile` the blob stays,
   * unreferenced.
   */
  remove: {
    readonly request: { readonly id: string; readonly keepsFile: boolean };
    readonly response: number | undefined;
  };
  /** Answers the number of bytes freed; undefined when no such image is listed. */
  removeRegistryImage: { readonly request: RegistryAsked; readonly response: number | undefined };
  /** Answers the references of the images that needed the blob, which are no longer listed. */
  dropBlob: {
    readonly request: { readonly digest: string; readonly keepsFile: boolean };
    readonly response: readonly string[];
  };
  discardBlobs: { readonly request: { readonly digests: readonly string[] }; readonly response: undefined };
  writeOciIndex: {
    readonly request: { readonly setAsideDamagedAtMs: number | undefined };
    readonly response: undefined;
  };
  collect: { readonly request: CollectRequest; readonly response: GarbageReport };
  close: { readonly request: undefined; readonly response: undefined };
};

export type WriterTask = keyof WriterTasks;
export type MessageOf<N extends WriterTask> = {
  readonly id: number;
  readonly task: N;
  readonly request: WriterTasks[N]['request'];
};
export type ToWriter = { [N in WriterTask]: MessageOf<N> }[WriterTask];

/**
 * The first answer is to the opening of the index. It has the id 0 and the name of this process's directory in `tmp`.
 */
export type FromWriter =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly failure: Failure };

/** An error as plain data: a structured clone loses the class of an ImageError and the codes of a system error. */
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
