import type { ImageError } from './errors.ts';
import type { PushOutcome, PushTotals } from './events/push.ts';

/**
 * The events of a batch, in the order in which they happen. `key` identifies a node during the batch. `reference` is as the caller
 * wrote it, but URLs in it have no credentials and no query; only outcomes that are passed to the caller have these. Bytes are
 * bytes on the wire, unless stated otherwise. Each event also has `batch`, the number of its batch: 1, 2 and so on in its finder; a
 * warning that is about no single batch has none.
 */
export type BatchEvent = {
  /** The number of the batch, 1, 2 and so on in its finder; absent from what is about no single batch. */
  readonly batch?: number;
} & (
  | {
      /** The first event: the batch has so many `requests`, and at most `jobs` transfers at a time, `jobsPerHost` of them from one host. */
      readonly type: 'batch-started';
      readonly requests: number;
      readonly jobs: number;
      readonly jobsPerHost: number;
    }
  | {
      /** An image is needed: the request `reference`, or what the image with the key `parent` depends on. */
      readonly type: 'node-added';
      readonly key: string;
      readonly reference: string;
      readonly parent?: string;
    }
  | {
      /** Work on the image `reference` begins. */
      readonly type: 'node-started';
      readonly key: string;
      readonly reference: string;
    }
  | {
      /** Nothing happens for a while; `reason` says why, in plain words. */
      readonly type: 'waiting';
      readonly key: string;
      readonly reason: string;
    }
  | {
      /** The node has got a slot for its transfer, after it waited for `waitedMs`; `host` is absent for a local file. */
      readonly type: 'place-taken';
      readonly key: string;
      readonly host?: string;
      readonly waitedMs: number;
    }
  | {
      /** The answer of `url` has begun. `total` is the size of the whole, if it is known; `resumedFrom` bytes were there before. */
      readonly type: 'download-started';
      readonly key: string;
      readonly url: string;
      readonly total?: number;
      readonly resumedFrom: number;
    }
  | {
      /** `bytes` of `total` are there; `total` is absent if it is not known. */
      readonly type: 'download-progress';
      readonly key: string;
      readonly bytes: number;
      readonly total?: number;
    }
  | {
      /** All of `url` is there: `bytes`, with those of earlier downloads that were resumed. */
      readonly type: 'download-finished';
      readonly key: string;
      readonly url: string;
      readonly bytes: number;
    }
  | {
      /** An import has read `bytes` of the archive `path`; `total` is absent if its size is not known. Small archives have no such event. */
      readonly type: 'archive-read';
      readonly path: string;
      readonly bytes: number;
      readonly total?: number;
    }
  | {
      /**
       * A request for `url` failed with the error `code` and is repeated in `delayMs`. `attempt` counts the retries from 1. `status` is
       * the status of the answer, if the code is HTTP_STATUS.
       */
      readonly type: 'retry';
      readonly key: string;
      readonly url: string;
      readonly attempt: number;
      readonly delayMs: number;
      readonly code: string;
      readonly status?: number;
    }
  | {
      /**
       * The image `imageID` has been decompressed, hashed and checked; `size` are its uncompressed bytes. `steps` are milliseconds by
       * step: `wait` for a thread, then `read`, `inflate`, `hash`, `check`, `write`, `sync`. For an image that is kept as a registry
       * served it, `imageID` is the digest of its manifest, and `size` are the bytes of all its blobs, which have been hashed.
       */
      readonly type: 'ingested';
      readonly key: string;
      readonly imageID: string;
      readonly size: number;
      readonly steps?: Readonly<Record<string, number>>;
    }
  | {
      /** The signatures are good: `signedBy` are the fingerprints of the keys, with `identities` as their user IDs, or identities of certificates: `SUBJECT via ISSUER`. */
      readonly type: 'verified';
      readonly key: string;
      readonly signedBy: readonly string[];
      readonly identities: readonly string[];
    }
  | {
      /** The image and all that it depends on have ended, with `outcome`. */
      readonly type: 'node-finished';
      readonly key: string;
      readonly outcome: Outcome;
      /** The other requests for the same image, if there are any: their outcomes are the same but for `reference` and `index`. */
      readonly also?: readonly { readonly reference: string; readonly index: number }[];
    }
  | {
      /** Something that the user should know, in one line: `message`. It is about a node if `key` is set. */
      readonly type: 'warning';
      readonly message: string;
      readonly key?: string;
    }
  | {
      /** The first event of a push: `requests` images go to `target`, with at most `jobs` transfers at a time, `jobsPerHost` of them to it. */
      readonly type: 'push-started';
      readonly target: string;
      readonly requests: number;
      readonly jobs: number;
      readonly jobsPerHost: number;
    }
  | {
      /** A blob of `total` bytes is sent to `url`, a repository of the target. */
      readonly type: 'upload-started';
      readonly key: string;
      readonly url: string;
      readonly total: number;
    }
  | {
      /** `bytes` of what the image sends have been sent, of `total` that are known to be sent so far. */
      readonly type: 'upload-progress';
      readonly key: string;
      readonly bytes: number;
      readonly total: number;
    }
  | {
      /** A blob of `bytes` bytes is in the repository `url`, to which it was sent. */
      readonly type: 'upload-finished';
      readonly key: string;
      readonly url: string;
      readonly bytes: number;
    }
  | {
      /** A push of an image has ended, with `outcome`. */
      readonly type: 'image-pushed';
      readonly key: string;
      readonly outcome: PushOutcome;
    }
  | {
      /** What was exchanged with each of the `hosts`. It comes once, before the last event of a batch or a push. */
      readonly type: 'traffic';
      readonly hosts: readonly HostTraffic[];
    }
  | {
      /** The last event of a push, with its `totals`. */
      readonly type: 'push-finished';
      readonly totals: PushTotals;
    }
  | {
      /** The last event, with the `totals` of the batch. */
      readonly type: 'batch-finished';
      readonly totals: Totals;
    }
);

/**
 * It must not block, since it is called very often. An error of it ends the batch, as does the rejection of a promise that it
 * returns; the batch does not end before that promise.
 */
export type EventSink = (event: BatchEvent) => unknown;

/** How an image ended: `fetched` now, `present` in the store before, `failed`, or `cancelled` by the signal, `failFast` or close. */
export type OutcomeStatus = Outcome['status'];

/**
 * The outcome of one request or one dependency. A fetched or present image has an ID; one that failed or was cancelled has an error.
 * The field names are those of the JSON output, which is the result of `JSON.stringify`.
 */
export type Outcome = StoredOutcome | FailedOutcome | CancelledOutcome;

/** The outcome of an image that is in the store. */
export type StoredOutcome = OutcomeFacts & {
  /** `fetched`: it has come with this batch. `present`: the store had it. */
  readonly status: 'fetched' | 'present';
  /** `sha512-` and 128 hex digits; the digest of the manifest for a registry image of which no archive is asked for. */
  readonly imageID: string;
  /** Never set. */
  readonly error?: undefined;
};

/** The outcome of an image that could not be fetched, or must not be used. */
export type FailedOutcome = OutcomeFacts & {
  /** It is not in the store, or not all that it depends on. */
  readonly status: 'failed';
  /** Why. An image that needs a failed one has DEPENDENCY_FAILED, whose cause is the error of that one. */
  readonly error: ImageError;
};

/** The outcome of an image that had not ended when its batch was stopped. */
export type CancelledOutcome = OutcomeFacts & {
  /** It was stopped by the signal, by `failFast`, or by close. */
  readonly status: 'cancelled';
  /** The cause of the error is the reason of the aborted signal. */
  readonly error: ImageError<'CANCELLED'>;
};

/** The facts that any outcome may have. */
export type OutcomeFacts = {
  /** What was asked for: as it was written for a request, normalised for a dependency. */
  readonly reference: string;
  /** The position among the requests, counted from 0; absent for dependencies. */
  readonly index?: number;
  /** `sha512-` and 128 hex digits; the digest of the manifest for a registry image of which no archive is asked for. */
  readonly imageID?: string;
  /** The name in the manifest. */
  readonly name?: string;
  /** The labels in the manifest: `version`, `os`, `arch`, … */
  readonly labels?: Readonly<Record<string, string>>;
  /** `sha256:` and the hex digest of the bytes as transferred. */
  readonly digest?: string;
  /** Of an image that was fetched for several platforms, or for all: which these are. Its ID and digest are those of the index. */
  readonly platforms?: readonly {
    /** `linux`, `windows`, … */
    readonly os: string;
    /** `amd64`, `arm64`, `arm`, … */
    readonly architecture: string;
    /** `v6`, `v7`, `v8` or similar. */
    readonly variant?: string;
  }[];
  /** A URL without credentials and query, or a path. */
  readonly source?: string;
  /** The URL that the manifest of a registry image came from, of the registry or a mirror. */
  readonly endpoint?: string;
  /** Bytes on the wire for this image in this batch; 0 if it was present. */
  readonly bytesDownloaded?: number;
  /** Milliseconds from its start to its end. */
  readonly durationMs?: number;
  /** The fingerprints of the keys that signed, in lower-case hex, or identities of certificates; with a policy, those that it is met by. Empty if the image was not verified. */
  readonly signedBy?: readonly string[];
  /** Whether it was asked for without a version. */
  readonly latest?: boolean;
  /** The image IDs of its direct dependencies. */
  readonly dependencies?: readonly string[];
};

/** The counts of a batch. `images` counts requests; all other counts of images are of nodes. */
export type Totals = {
  /** Requests, one for each element of `apps`. */
  readonly images: number;
  /** Different images: requests and dependencies, each once. */
  readonly nodes: number;
  /** Nodes that have come with this batch. */
  readonly fetched: number;
  /** Nodes that the store had. */
  readonly present: number;
  /** Nodes that failed. */
  readonly failed: number;
  /** Always 0; a field of the JSON documents, whose schemas do not change. */
  readonly blocked: 0;
  /** Nodes that had not ended when the batch was stopped. */
  readonly cancelled: number;
  /** Bytes on the wire. */
  readonly bytesDownloaded: number;
  /** Bytes of the fetched images in the store, each file once, however many of them share it. */
  readonly bytesStored: number;
  /** HTTP requests. */
  readonly requests: number;
  /** HTTP requests that were repeated. */
  readonly retries: number;
  /** Milliseconds from the start of the batch to its end. */
  readonly durationMs: number;
};

/** What a batch exchanged with a host. */
export type HostTraffic = {
  /** `host[:port]`; `other` for all hosts beyond the first hundred. */
  readonly host: string;
  /** HTTP requests, answered or not; those for tokens and after redirects included. */
  readonly requests: number;
  /** Bytes of the bodies of answers, on the wire. */
  readonly bytesReceived: number;
  /** Bytes of the bodies of requests, on the wire. */
  readonly bytesSent: number;
  /** HTTP requests that were repeated. */
  readonly retries: number;
  /** Answers with the status 429 or 503. */
  readonly refusals: number;
  /** The most requests at a time. */
  readonly concurrency: number;
  /** What the host said last of how many requests it allows. */
  readonly quota?: HostQuota;
  /** Requests that counted for the quota: each GET whose answer told it. */
  readonly counted: number;
};

/** How many requests a host allows within a time, as it says itself. */
export type HostQuota = {
  /** Requests in `windowSeconds`. */
  readonly limit: number;
  /** Requests that are left. */
  readonly remaining?: number;
  /** The time that the limit is for. */
  readonly windowSeconds?: number;
};
