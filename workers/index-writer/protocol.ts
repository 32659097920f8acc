import type { ErrorData } from '../../src/errors.ts';

/** Version of the index, `PRAGMA user_version`; both sides name it, so that they cannot disagree. */
export type IndexVersion = 1;

/** The paths of one store, and the modes that what is made in it gets. Plain data: it crosses to the thread. */
export type Layout = {
  readonly dir: string;
  readonly index: string;
  /** `blobs/sha512`: images by the hex digits of their ID. */
  readonly blobs: string;
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

export type GarbageCounts = {
  readonly blobs: number;
  readonly partials: number;
  readonly temporaries: number;
  readonly bytes: number;
};

export type CommitRequest = {
  /** The verified, synced tar; gone from there afterwards, whatever the outcome. */
  readonly path: string;
  readonly image: ImageRow;
  readonly manifest: string;
  readonly remote?: RemoteRow;
};

export type CollectRequest = {
  readonly nowMs: number;
  readonly partialsOlderThanMs: number;
  readonly dryRun: boolean;
};

/** What the thread that owns the index does for the main thread. */
export type WriterTasks = {
  /** True: the key is ours now. False: a living owner holds it. */
  claim: { readonly request: { readonly key: string }; readonly response: boolean };
  release: { readonly request: { readonly key: string }; readonly response: undefined };
  commit: { readonly request: CommitRequest; readonly response: undefined };
  putRemote: { readonly request: RemoteRow; readonly response: undefined };
  confirmBlob: { readonly request: { readonly id: string }; readonly response: undefined };
  touch: { readonly request: { readonly ids: readonly string[]; readonly atMs: number }; readonly response: undefined };
  /** Bytes given back; undefined when no such image is listed. */
  remove: { readonly request: { readonly id: string }; readonly response: number | undefined };
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
