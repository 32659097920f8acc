import type { ImageError } from './errors.ts';

/**
 * What happens during a batch, in the order it happens. `key` names a node of the batch for as long as it lives;
 * `reference` is what was asked for, in the caller's own words, but that URLs come without credentials and query here: only
 * outcomes that are handed to the caller, and results made of them, have those. Bytes are bytes on the wire unless said otherwise.
 */
export type BatchEvent =
  | { readonly type: 'batch-started'; readonly requests: number }
  | { readonly type: 'node-added'; readonly key: string; readonly reference: string; readonly parent?: string }
  | { readonly type: 'node-started'; readonly key: string; readonly reference: string }
  | { readonly type: 'waiting'; readonly key: string; readonly reason: string }
  /** The node has got a place among the transfers, for which it waited so long; `host` is absent for a local file. */
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
      /** Of the server's answer, where the code is HTTP_STATUS. */
      readonly status?: number;
    }
  | {
      readonly type: 'ingested';
      readonly key: string;
      readonly imageID: string;
      readonly size: number;
      /** Milliseconds that an archive waited for a worker, and that it took: wait, read, inflate, hash, check, write, sync. */
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

/** A sink must not throw and must not block: it is called from the hot path. */
export type EventSink = (event: BatchEvent) => void;

export type OutcomeStatus = Outcome['status'];

/**
 * How one request or one dependency ended. `status` says which facts there are: an image that is there has its ID, one
 * that failed or was cancelled an error. The field names are those of the JSON output; `JSON.stringify` gives just that.
 */
export type Outcome = StoredOutcome | FailedOutcome | CancelledOutcome;

type StoredOutcome = OutcomeFacts & {
  readonly status: 'fetched' | 'present';
  /** `sha512-` and 128 hex digits; of a registry's image that is kept as it came alone, the digest of its manifest. */
  readonly imageID: string;
  readonly error?: undefined;
};

type FailedOutcome = OutcomeFacts & { readonly status: 'failed'; readonly error: ImageError };

/** The cause of the error is the reason of the signal. */
type CancelledOutcome = OutcomeFacts & { readonly status: 'cancelled'; readonly error: ImageError<'CANCELLED'> };

/** What is known of a request or a dependency, whatever became of it; absent facts are left out. */
export type OutcomeFacts = {
  readonly reference: string;
  /** 0-based position among the requests; dependencies have none. */
  readonly index?: number;
  /** Whole: `sha512-` and 128 hex digits. */
  readonly imageID?: string;
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** `sha256:` and hex of the bytes as transferred. */
  readonly digest?: string;
  /** URL without credentials and query, or a path. */
  readonly source?: string;
  /** Of an image that came from a registry: the URL that its manifest really came from, which may be a mirror's. */
  readonly endpoint?: string;
  readonly bytesDownloaded?: number;
  readonly durationMs?: number;
  /** Lower-case hex fingerprints of the keys that signed; empty when it was not verified. */
  readonly signedBy?: readonly string[];
  readonly latest?: boolean;
  readonly dependencies?: readonly string[];
};

/** `images` counts requests; everything else counts nodes, each once. */
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
