import type { ImageError } from '../errors.ts';

/**
 * How a push of an image ended: `pushed` now, `present` at the target before, `planned` by a dry run, `skipped` since it is nothing
 * for a registry, `failed`, or `cancelled` as a fetch.
 */
export type PushStatus = PushOutcome['status'];

/** The outcome of one image of a push. The field names are those of the JSON output. */
export type PushOutcome = PushFacts &
  (
    | {
        /** It is at the target, or nothing went wrong. */
        readonly status: 'pushed' | 'present' | 'planned' | 'skipped';
        /** Never set. */
        readonly error?: undefined;
      }
    | {
        /** It is not at the target, or not under its tag. */
        readonly status: 'failed';
        /** Why. */
        readonly error: ImageError;
      }
    | {
        /** It was stopped by the signal, by `failFast`, or by close. */
        readonly status: 'cancelled';
        /** The cause of the error is the reason of the aborted signal. */
        readonly error: ImageError<'CANCELLED'>;
      }
  );

/** The facts that any outcome of a push may have. */
export type PushFacts = {
  /** What was asked for; where all images were, the reference that the image has in the store. */
  readonly reference: string;
  /** The position among the images of the push, counted from 0. */
  readonly index: number;
  /** Where it goes: `HOST/REPOSITORY:TAG`, without the tag if it has none. */
  readonly target?: string;
  /** `HOST/REPOSITORY@sha256:…`: the image at the target, with the digest of its index or manifest. */
  readonly pushed?: string;
  /** The digest of its index or manifest. */
  readonly digest?: string;
  /** The bytes of its blobs and documents. */
  readonly size?: number;
  /** Bytes of blobs that were sent for it; 0 if it was present. */
  readonly bytesUploaded?: number;
  /** Blobs that were `uploaded` for it, `mounted` from another repository of the target, and `present` before. */
  readonly blobs?: { readonly uploaded: number; readonly mounted: number; readonly present: number };
  /** Milliseconds from its start to its end. */
  readonly durationMs?: number;
};

/** The counts of a push. */
export type PushTotals = {
  /** All images that were selected; those of other members, each once for each time it was asked for. */
  readonly images: number;
  /** Images that are at the target now. */
  readonly pushed: number;
  /** Images that were there before. */
  readonly present: number;
  /** Images that a dry run would push. */
  readonly planned: number;
  /** Images that are nothing for a registry. */
  readonly skipped: number;
  /** Images that failed. */
  readonly failed: number;
  /** Images that had not ended when the push was stopped. */
  readonly cancelled: number;
  /** Bytes of blobs that were sent, those that were sent again included. */
  readonly bytesUploaded: number;
  /** Blobs that were sent. */
  readonly blobsUploaded: number;
  /** Blobs that the target took from another of its repositories. */
  readonly blobsMounted: number;
  /** HTTP requests. */
  readonly requests: number;
  /** HTTP requests that were repeated. */
  readonly retries: number;
  /** Milliseconds from the start of the push to its end. */
  readonly durationMs: number;
};
