/** Details of errors that an image of a registry may have. */
export type Keepable = {
  /** Set if only the conversion of a registry image failed: with `keep: 'oci'` it can be stored as it was served. */
  readonly keep?: 'oci';
};

/**
 * Every error code with its details. Details are plain, cloneable data, since they are sent between threads. A released code keeps
 * its meaning. Texts in details are as shown in messages: without credentials and control characters.
 */
export type ErrorDetails = {
  /** A bug in this package, or a thread that died again and again. `what` was unexpected. */
  INTERNAL: { readonly what: string };
  /** Options that are invalid or contradict each other. `option` is the name of the option, with dots: `limits.archive`. */
  USAGE: { readonly option?: string };
  /** `input` is no image reference. `didYouMean` is one that was probably meant: `docker://localhost:5000/app:1`. */
  REFERENCE_INVALID: { readonly input: string; readonly didYouMean?: string };
  /** A list file has something that cannot be read at `line` and, where it is known, `column`, counted from 1, of the file `list`. */
  LIST_INVALID: { readonly list: string; readonly line: number; readonly column?: number };
  /** The configuration file at `path` cannot be used. */
  CONFIG_INVALID: { readonly path: string };

  /**
   * The store does not have `asked`, and the network was not to be used. `of` is set if a key is missing in the keystore, an image in an
   * archive, or what a bundle left out because another store has it, or if the store has archives (ACIs) of it only.
   */
  NOT_IN_STORE: { readonly asked: string; readonly of?: 'keystore' | 'archive' | 'other-store' | 'archives-only' };
  /** Several images fit `asked`; `candidates` are some of their IDs. */
  ID_AMBIGUOUS: { readonly asked: string; readonly candidates: readonly string[] };
  /** `asked` has too few digits for the start of an image ID or a digest. */
  ID_TOO_SHORT: { readonly asked: string };
  /** There is no file, or no directory for it, at `path`. */
  FILE_NOT_FOUND: { readonly path: string };
  /**
   * Nothing tells where the image `name` is; `attempts` are the places that were asked, each with what came of it. `didYouMean` is set
   * if the request reads as an image of a registry too: `docker://alpine:3.20`.
   */
  DISCOVERY_FAILED: { readonly name: string; readonly attempts: readonly string[]; readonly didYouMean?: string };
  /** An image is not there for the platform `wanted`; `available` are those that it is there for. For `keep` see Keepable. */
  PLATFORM_MISSING: Keepable & { readonly wanted: string; readonly available: readonly string[] };
  /**
   * The server at `url` answered with a `status` that is an error. `retryAfterMs` is what its Retry-After says; `redirectedFrom` is
   * the host that redirected to this one; `takesNoCredentials` is true if no credentials are ever sent to it; `proxy` is set if
   * that was a proxy's answer; `didYouMean` is as in DISCOVERY_FAILED, where the pages of a name were refused.
   */
  HTTP_STATUS: {
    readonly url: string;
    readonly status: number;
    readonly retryAfterMs?: number;
    readonly redirectedFrom?: string;
    readonly takesNoCredentials?: true;
    readonly proxy?: string;
    readonly didYouMean?: string;
  };

  /** `path` is not a supported archive, or a damaged one. `looksLike` names the format that the bytes look like. For `keep` see Keepable. */
  ARCHIVE_UNREADABLE: Keepable & { readonly path: string; readonly looksLike?: string };
  /**
   * A tar that breaks a rule. `rule` is the number of the rule in docs/rules.md, `entry` a path inside the archive, `offset` the byte
   * of the tar. For `keep` see Keepable.
   */
  ARCHIVE_INVALID: Keepable & { readonly rule: string; readonly entry?: string; readonly offset?: number };
  /**
   * The manifest of an image is invalid. `field` is the path of the invalid member, such as `app.ports[0].port`; `line` and `column`,
   * counted from 1, are set where it is no JSON. For `keep` see Keepable.
   */
  MANIFEST_INVALID: Keepable & { readonly field?: string; readonly line?: number; readonly column?: number };
  /** `name` is no valid image name. For `keep` see Keepable. */
  NAME_INVALID: Keepable & { readonly name: string };
  /** The name `asked` was requested, and the image that came has the name `found`. */
  NAME_MISMATCH: { readonly asked: string; readonly found: string };
  /** `value` is not allowed for the label `label`. */
  LABEL_INVALID: { readonly label: string; readonly value: string };
  /** The value `asked` of the label `label` was requested, and the image has `found`, or no such label. */
  LABEL_MISMATCH: { readonly label: string; readonly asked: string; readonly found?: string };
  /** A manifest or a request pins the image ID `asked`, and the image has `found`. */
  IMAGE_ID_MISMATCH: { readonly asked: string; readonly found: string };
  /**
   * The digest `asked` was requested, and the bytes that came have `found`. `of` is set if they are from an archive of
   * images. For `keep` see Keepable.
   */
  DIGEST_MISMATCH: Keepable & { readonly asked: string; readonly found: string; readonly of?: 'archive' };
  /** The size `asked` was stated, in bytes, and what came has `found`. */
  SIZE_MISMATCH: { readonly asked: number; readonly found: number };
  /** There is no signature at `location`, a URL or a path, or in what lies there: then `of` is `bundle`. */
  SIGNATURE_MISSING: { readonly location: string; readonly of?: 'bundle' };
  /** What is at `location` is no signature. */
  SIGNATURE_UNREADABLE: { readonly location: string };
  /** The signature does not fit the image, or is about another one. `fingerprint` is that of the key that made it. */
  SIGNATURE_INVALID: { readonly fingerprint?: string };
  /** The signature by the key `fingerprint` expired at `expiredAt`, ISO 8601. */
  SIGNATURE_EXPIRED: { readonly fingerprint: string; readonly expiredAt: string };
  /**
   * No key that is trusted for `name` has signed the image. `signers` are the fingerprints or key IDs in the signature, `searched`
   * the prefixes whose keys were tried. `missing` is set if a certificate has signed it, and there is no trusted root to judge that by.
   */
  KEY_UNKNOWN: {
    readonly signers: readonly string[];
    readonly searched: readonly string[];
    readonly name: string;
    readonly missing?: 'trustedRoot';
  };
  /** A key cannot be used: that with `fingerprint`, or what is at `path`. */
  KEY_INVALID: { readonly fingerprint?: string; readonly path?: string };
  /** The key `fingerprint` expired at `expiredAt`, ISO 8601. */
  KEY_EXPIRED: { readonly fingerprint: string; readonly expiredAt?: string };
  /** The owner of the key `fingerprint` has revoked it. */
  KEY_REVOKED: { readonly fingerprint: string };
  /** The key `fingerprint` or its signature is too weak; `algorithm` says why. */
  KEY_WEAK: { readonly fingerprint?: string; readonly algorithm: string };
  /**
   * Something is larger than allowed: `limit` names what, as the option `limits` does where that can raise it; `maximum` is the most.
   * For `keep` see Keepable.
   */
  LIMIT_EXCEEDED: Keepable & { readonly limit: string; readonly maximum: number };
  /** The server at `from` redirects to where a request must not go: `to`, where that can be read. */
  REDIRECT_REFUSED: { readonly from: string; readonly to?: string };
  /** `what` is only done if `insecure` allows it; `denyNet` stands for a connection that this option forbids. */
  INSECURE_REFUSED: { readonly what: string };
  /**
   * What the repository at `url` says of the trusted root of sigstore is not accepted by the rules of TUF: it is signed by others, expired,
   * older than what was seen before, or not what was signed.
   */
  TRUSTED_ROOT_REFUSED: { readonly url: string };
  /**
   * The policy at the path `policy` does not accept an image of a registry: it does not meet `requirement`, a type of
   * containers-policy.json(5), in `scope`. The cause says which signature was refused, if there was one.
   */
  POLICY_REFUSED: { readonly policy: string; readonly scope: string; readonly requirement: string };
  /**
   * The registry `host` does not take what is pushed to `repository`: `status` is its answer. `reason`: it takes no documents of this
   * `type`, the `tag` must not be moved, the `size` is too much for it, or a `quota` is used up.
   */
  PUSH_REFUSED: {
    readonly host: string;
    readonly repository: string;
    readonly status: number;
    readonly reason: 'type' | 'tag' | 'size' | 'quota';
  };
  /**
   * `target` was not to be overwritten, and has the digest `found` instead of `asked`; or it is the tag of a list of what is attached to a
   * manifest, and has no such list: then `asked` is the media type.
   */
  TAG_EXISTS: { readonly target: string; readonly asked: string; readonly found: string };
  /** Images depend on each other in a circle; `path` are their references, the first one again at the end. */
  DEPENDENCY_CYCLE: { readonly path: readonly string[] };
  /** An image needs `dependency`, at any depth, which failed. The cause of this error is the error of that image. */
  DEPENDENCY_FAILED: { readonly dependency: string };

  /** `host` wants credentials, and there are none for it. */
  AUTH_REQUIRED: { readonly host: string };
  /** `host` refused the credentials, or the proxy `proxy` did. */
  AUTH_DENIED: { readonly host: string; readonly proxy?: string };

  /**
   * The connection to `url` failed or broke. `reason` is the error of the system; `proxy` is the URL of the proxy that was used or
   * refused, if there was one.
   */
  NETWORK: { readonly url: string; readonly reason?: string; readonly proxy?: string };
  /** `url` did not answer within `waitedMs`. `proxy` as in NETWORK. */
  TIMEOUT: { readonly url: string; readonly waitedMs: number; readonly proxy?: string };
  /** No more bytes came from `url`, or too few; `bytes` had come. */
  STALLED: { readonly url: string; readonly bytes: number };
  /** The certificate of `url` is not accepted, or TLS failed. `reason` is the error of the library; `proxy` as in NETWORK. */
  TLS: { readonly url: string; readonly reason?: string; readonly proxy?: string };
  /** The answer of `url` breaks the protocol. */
  RESPONSE_INVALID: { readonly url: string };
  /** `url` announced `expected` bytes and sent `received`. */
  LENGTH_MISMATCH: { readonly url: string; readonly expected: number; readonly received: number };
  /** `url` wants fewer requests, for longer than `limits.retryAfter`; `retryAfterMs` is what its Retry-After says. */
  RATE_LIMITED: { readonly url: string; readonly retryAfterMs?: number };

  /** The data directory is damaged at `path`. `errno` is the system's error, if that was the cause. */
  STORE_CORRUPT: { readonly path: string; readonly errno?: string };
  /** Another process has locked the store at `path` for too long. */
  STORE_BUSY: { readonly path: string };
  /**
   * The disk with `path` is full. `errno` is the system's error, if that was the cause. For downloads that were refused since they would
   * not fit: `free` bytes were left, and those refused so far, with this one, need `needed` bytes.
   */
  STORE_FULL: { readonly path: string; readonly errno?: string; readonly free?: number; readonly needed?: number };
  /** `path` cannot be written: it is on a read-only disk, or was opened with `readOnly`. */
  STORE_READ_ONLY: { readonly path: string };
  /** The store at `path` has the format `found`, made by another version of this package, which knows `supported`. */
  STORE_VERSION: { readonly path: string; readonly found: number; readonly supported: number };
  /** `path` cannot be read. `errno` is the system's error, if that was the cause. */
  FILE_UNREADABLE: { readonly path: string; readonly errno?: string };
  /** A result could not be written to `output`: a stream, standard output, or a file that an option names. `reason` says why. */
  OUTPUT_FAILED: { readonly output: string; readonly reason: string };

  /**
   * The lock does not allow `reference`. `why`: the lock has no entry (`missing`) or several (`ambiguous`); absent if the image is
   * another than the locked one.
   */
  LOCK_MISMATCH: { readonly reference: string; readonly why?: 'missing' | 'ambiguous' };
  /**
   * The Redis at `queue`, a URL without user and password, cannot be used. `reason`: it cannot be reached, does not take the `password`, TLS
   * with it failed, or it is `notRedis`.
   */
  QUEUE_UNAVAILABLE: { readonly queue: string; readonly reason: 'unreachable' | 'password' | 'tls' | 'notRedis' };
  /** A batch with the name `batch` is in the queue, and it is another one. */
  BATCH_EXISTS: { readonly batch: string };
  /** No batch with the name `batch` is in the queue. */
  BATCH_NOT_FOUND: { readonly batch: string };
  /**
   * A document of a fleet is refused: a batch, what cancels one, a result, or the address of a worker. `why`: nobody whose key is accepted has
   * signed it (`signature`), it is not as documents are (`content`), or for another `version` of this program; it is `expired`, from the
   * `future`, was `cancelled`, has `ended` on this machine before, or its id was `used` by another one. `batch` is the name, if it is known.
   */
  BATCH_INVALID: {
    readonly why: 'signature' | 'content' | 'version' | 'expired' | 'future' | 'used' | 'ended' | 'cancelled';
    readonly batch?: string;
  };
  /** The batch `batch` wants its images pushed to `target`, and no worker here may push there. */
  TARGET_REFUSED: { readonly target: string; readonly batch: string };
  /** So many workers of a fleet ended while they brought the image, one after the other: `tries`. */
  WORKERS_LOST: { readonly tries: number };

  /** It was stopped before its end. `reason` says by what: `aborted` by the signal, `closed` or `failFast`; the `cause` of the error is the reason of the signal. */
  CANCELLED: { readonly reason: string };
  /** Something was used after it was closed; `what` it was. */
  CLOSED: { readonly what: 'store' | 'keystore' | 'pool' | 'fetcher' | 'finder' | 'pusher' };
};

/** The code of an ImageError. */
export type ErrorCode = keyof ErrorDetails;

/**
 * Any failure that a user or a caller can meet; every other thrown error is a bug. `code` says which failure it is and
 * which `details` it has: `if (error.code === 'HTTP_STATUS') error.details.status`.
 */
export type ImageError<C extends ErrorCode = ErrorCode> = { readonly [K in C]: ImageErrorWith<K> }[C];

/** An ImageError with one code. */
export interface ImageErrorWith<C extends ErrorCode> extends Error {
  /** `ImageError`, also where the package is bundled. */
  readonly name: 'ImageError';
  /** Which failure it is. */
  readonly code: C;
  /** What the failure is about. */
  readonly details: ErrorDetails[C];
  /** Plain data, as JSON output shows it. */
  toJSON(): ErrorData<C>;
}

interface ImageErrorConstructor {
  readonly prototype: ImageError;
  /** @param message - what happened, in one line, without the reference: the caller adds that. */
  new <C extends ErrorCode>(code: C, message: string, details: ErrorDetails[C], options?: ErrorOptions): ImageError<C>;
}

/** The class has the exported name, since stack traces and inspection show it. */
const CodedError = class ImageError extends Error {
  override readonly name = 'ImageError';
  readonly code: ErrorCode;
  readonly details: ErrorDetails[ErrorCode];

  constructor(code: ErrorCode, message: string, details: ErrorDetails[ErrorCode], options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.details = details;
  }

  toJSON(): ErrorData {
    return toErrorData(this as unknown as Parameters<typeof toErrorData>[0]); // the exported constructor allows only matching pairs of code and details
  }
};

export const ImageError = CodedError as unknown as ImageErrorConstructor; // the compiler cannot pair code and details

/** Whether a thrown value is an ImageError. `error.code` then decides what `error.details` has. */
export function isImageError(error: unknown): error is ImageError {
  return error instanceof CodedError;
}

/** Whether a thrown value is an ImageError with this code. */
export function hasCode<C extends ErrorCode>(error: unknown, code: C): error is ImageError<C> {
  return error instanceof CodedError && error.code === code;
}

/** An ImageError as plain data, which is sent between threads and shown in JSON output. */
export type ErrorData<C extends ErrorCode = ErrorCode> = {
  readonly [K in C]: {
    /** Which failure it is. */
    readonly code: K;
    /** What happened, in one line. */
    readonly message: string;
    /** What the failure is about. */
    readonly details: ErrorDetails[K];
    /** What it came from, if that was an ImageError too. */
    readonly cause?: ErrorData;
  };
}[C];

export function toErrorData<C extends ErrorCode>(error: ImageError<C>): ErrorData<C> {
  const { code, message, details, cause } = error;
  const data = { code, message, details, ...(isImageError(cause) && { cause: toErrorData(cause) }) };
  return data;
}

export function fromErrorData({ code, message, details, cause }: ErrorData): ImageError {
  return new ImageError(code, message, details, cause && { cause: fromErrorData(cause) });
}

/** The error of everything that is asked of something closed. */
export function closedError(what: ErrorDetails['CLOSED']['what']): ImageError<'CLOSED'> {
  return new ImageError('CLOSED', `the ${what} was closed`, { what });
}

/** Converts any thrown value to an ImageError; one that is not becomes the cause of an INTERNAL error. */
export function asImageError(error: unknown): ImageError {
  if (isImageError(error)) return error;
  const what = textOf(error);
  return new ImageError('INTERNAL', `unexpected: ${what}`, { what }, { cause: error });
}

/** What a program throws may be anything: some values are no text, and their own function for that may throw. */
function textOf(thrown: unknown): string {
  try {
    const text = String(thrown instanceof Error ? thrown.message : thrown);
    return text.replace(/\p{Cc}/gu, (control) => `\\x${control.charCodeAt(0).toString(16).padStart(2, '0')}`);
  } catch {
    return `a value of type ${typeof thrown}`;
  }
}
