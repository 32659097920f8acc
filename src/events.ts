import type { ImageError } from './errors.ts';

/**
 * The events of a batch, in the order in which they happen. `key` identifies a node during the batch. `reference` is as the caller
 * wrote it, but URLs in it have no credentials and no query; only outcomes that are passed to the caller have these. Bytes are
 * bytes on the wire, unless stated otherwise.
 */
export type BatchEvent =
  | { readonly type: 'batch-started'; readonly requests: number }
  | { readonly type: 'node-added'; readonly key: string; readonly reference: string; readonly parent?: string }
  | { readonly type: 'node-started'; readonly key: string; readonly reference: string }
  | { readonly type: 'waiting'; readonly key: string; readonly reason: string }
  /** The node has got a slot for its transfer, after it waited for `waitedMs`; `host` is absent for a local file. */
  | { readonly type: 'place-taken'; readonly key: string; readonly host?: string; readonly waitedMs: number }
  | {
      readonly type: 'download-started';
      readonly key: string;
      readonly url: string;
      readonly total?: number;
      readonly resumedFrom: number;
    }
  | { readonly type: 'download-progress'; readonly key: string; readonly bytes: number; readonly total?: number }
  | { readonly type: 'download-finished'; readonly key: string; readonly url: string; readonly bytes: number }
  | {
      readonly type: 'retry';
      readonly key: string;
      readonly url: string;
      readonly attempt: number;
      readonly delayMs: number;
      readonly code: string;
      /** The status of the answer, if the code is HTTP_STATUS. */
      readonly status?: number;
    }
  | {
      readonly type: 'ingested';
      readonly key: string;
      readonly imageID: string;
      readonly size: number;
      /** Milliseconds by step: `wait` for a thread, then `read`, `inflate`, `hash`, `check`, `write`, `sync`. */
      readonly steps?: Readonly<Record<string, number>>;
    }
  | {
      readonly type: 'verified';
      readonly key: string;
      readonly signedBy: readonly string[];
      readonly identities: readonly string[];
    }
  | { readonly type: 'node-finished'; readonly key: string; readonly outcome: Outcome }
  | { readonly type: 'warning'; readonly message: string; readonly key?: string }
  | { readonly type: 'batch-finished'; readonly totals: Totals };

/** A sink must not throw and must not block, since it is called very often. */
export type EventSink = (event: BatchEvent) => void;

export type OutcomeStatus = Outcome['status'];

/**
 * The outcome of one request or one dependency. A fetched or present image has an ID; one that failed or was cancelled has an error.
 * The field names are those of the JSON output, which is the result of `JSON.stringify`.
 */
export type Outcome = StoredOutcome | FailedOutcome | CancelledOutcome;

export type StoredOutcome = OutcomeFacts & {
  readonly status: 'fetched' | 'present';
  /** `sha512-` and 128 hex digits; the digest of the manifest for a registry image that is stored without conversion only. */
  readonly imageID: string;
  readonly error?: undefined;
};

export type FailedOutcome = OutcomeFacts & { readonly status: 'failed'; readonly error: ImageError };

/** The cause of the error is the reason of the aborted signal. */
export type CancelledOutcome = OutcomeFacts & { readonly status: 'cancelled'; readonly error: ImageError<'CANCELLED'> };

/** The facts that any outcome may have. */
export type OutcomeFacts = {
  readonly reference: string;
  /** The position among the requests, counted from 0; absent for dependencies. */
  readonly index?: number;
  /** `sha512-` and 128 hex digits. */
  readonly imageID?: string;
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** `sha256:` and the hex digest of the bytes as transferred. */
  readonly digest?: string;
  /** A URL without credentials and query, or a path. */
  readonly source?: string;
  /** The URL that the manifest of a registry image came from, of the registry or a mirror. */
  readonly endpoint?: string;
  readonly bytesDownloaded?: number;
  readonly durationMs?: number;
  /** The fingerprints of the keys that signed, in lower-case hex; empty if the image was not verified. */
  readonly signedBy?: readonly string[];
  readonly latest?: boolean;
  readonly dependencies?: readonly string[];
};

/** `images` counts requests; all other counts are of nodes. */
export type Totals = {
  readonly images: number;
  readonly nodes: number;
  readonly fetched: number;
  readonly present: number;
  readonly failed: number;
  /** Always 0; a field of the JSON documents, whose schemas do not change. */
  readonly blocked: 0;
  readonly cancelled: number;
  readonly bytesDownloaded: number;
  readonly bytesStored: number;
  readonly requests: number;
  readonly retries: number;
  readonly durationMs: number;
};
