/** `keep` is set if only the conversion of a registry image failed: the image can be stored without conversion. */
export type Keepable = { readonly keep?: 'oci' };

/**
 * Every error code with its details. Details are plain, cloneable data, since they are sent between threads. A released code keeps
 * its meaning.
 */
export type ErrorDetails = {
  /** A bug in this program, or a thread that died twice. */
  INTERNAL: { readonly what: string };
  /** Options that are invalid or contradict each other. */
  USAGE: { readonly option?: string };
  REFERENCE_INVALID: { readonly input: string };
  LIST_INVALID: { readonly list: string; readonly line: number };
  CONFIG_INVALID: { readonly path: string };

  /** `of` is set if a key is missing in the keystore. */
  NOT_IN_STORE: { readonly asked: string; readonly of?: 'keystore' };
  ID_AMBIGUOUS: { readonly asked: string; readonly candidates: readonly string[] };
  ID_TOO_SHORT: { readonly asked: string };
  FILE_NOT_FOUND: { readonly path: string };
  DISCOVERY_FAILED: { readonly name: string; readonly attempts: readonly string[] };
  PLATFORM_MISSING: Keepable & { readonly wanted: string; readonly available: readonly string[] };
  /** `redirectedFrom` is the host that redirected to this one; `takesNoCredentials` is true if no credentials are ever sent to it. */
  HTTP_STATUS: {
    readonly url: string;
    readonly status: number;
    readonly retryAfterMs?: number;
    readonly redirectedFrom?: string;
    readonly takesNoCredentials?: true;
    readonly proxy?: string;
  };

  /** Not a supported archive, or a damaged one. `looksLike` names the format that the bytes look like. */
  ARCHIVE_UNREADABLE: Keepable & { readonly path: string; readonly looksLike?: string };
  /** A tar that breaks a rule. `rule` is the number of the rule in docs/rules.md, `entry` a path inside the archive. */
  ARCHIVE_INVALID: Keepable & { readonly rule: string; readonly entry?: string; readonly offset?: number };
  /** `field` is the path of the invalid member, such as `app.ports[0].port`. */
  MANIFEST_INVALID: Keepable & { readonly field?: string; readonly line?: number; readonly column?: number };
  NAME_INVALID: Keepable & { readonly name: string };
  NAME_MISMATCH: { readonly asked: string; readonly found: string };
  LABEL_INVALID: { readonly label: string; readonly value: string };
  LABEL_MISMATCH: { readonly label: string; readonly asked: string; readonly found?: string };
  IMAGE_ID_MISMATCH: { readonly asked: string; readonly found: string };
  DIGEST_MISMATCH: Keepable & { readonly asked: string; readonly found: string };
  SIZE_MISMATCH: { readonly asked: number; readonly found: number };
  SIGNATURE_MISSING: { readonly location: string };
  SIGNATURE_UNREADABLE: { readonly location: string };
  SIGNATURE_INVALID: { readonly fingerprint?: string };
  SIGNATURE_EXPIRED: { readonly fingerprint: string; readonly expiredAt: string };
  /** `signers` are the fingerprints or key IDs in the signature, `searched` the prefixes whose keys were tried. */
  KEY_UNKNOWN: { readonly signers: readonly string[]; readonly searched: readonly string[]; readonly name: string };
  KEY_INVALID: { readonly fingerprint?: string; readonly path?: string };
  KEY_EXPIRED: { readonly fingerprint: string; readonly expiredAt?: string };
  KEY_REVOKED: { readonly fingerprint: string };
  KEY_WEAK: { readonly fingerprint?: string; readonly algorithm: string };
  LIMIT_EXCEEDED: Keepable & { readonly limit: string; readonly maximum: number };
  REDIRECT_REFUSED: { readonly from: string; readonly to?: string };
  INSECURE_REFUSED: { readonly what: string };
  DEPENDENCY_CYCLE: { readonly path: readonly string[] };
  DEPENDENCY_FAILED: { readonly dependency: string };

  AUTH_REQUIRED: { readonly host: string };
  AUTH_DENIED: { readonly host: string; readonly proxy?: string };

  /** `proxy` is the URL of the proxy that was used or refused, if there was one; also in TIMEOUT and TLS. */
  NETWORK: { readonly url: string; readonly reason?: string; readonly proxy?: string };
  TIMEOUT: { readonly url: string; readonly waitedMs: number; readonly proxy?: string };
  STALLED: { readonly url: string; readonly bytes: number };
  TLS: { readonly url: string; readonly reason?: string; readonly proxy?: string };
  RESPONSE_INVALID: { readonly url: string };
  LENGTH_MISMATCH: { readonly url: string; readonly expected: number; readonly received: number };
  RATE_LIMITED: { readonly url: string; readonly retryAfterMs?: number };

  /** `errno` is the system's error, if that was the cause. */
  STORE_CORRUPT: { readonly path: string; readonly errno?: string };
  STORE_BUSY: { readonly path: string };
  STORE_FULL: { readonly path: string };
  STORE_READ_ONLY: { readonly path: string };
  STORE_VERSION: { readonly path: string; readonly found: number; readonly supported: number };
  FILE_UNREADABLE: { readonly path: string; readonly errno?: string };
  /** A result could not be written to standard output, or to a file that an option names. */
  OUTPUT_FAILED: { readonly output: string; readonly reason: string };

  /** `why`: the lock has no entry (`missing`) or several (`ambiguous`); absent if the image is another than the locked one. */
  LOCK_MISMATCH: { readonly reference: string; readonly why?: 'missing' | 'ambiguous' };
  CANCELLED: { readonly reason: string };
  /** A store, a keystore, a pool, a fetcher or a finder was used after it was closed. */
  CLOSED: { readonly what: 'store' | 'keystore' | 'pool' | 'fetcher' | 'finder' };
};

export type ErrorCode = keyof ErrorDetails;

/**
 * Any failure that a user or a caller can meet; every other thrown error is a bug. `code` says which failure it is and
 * which `details` it has: `if (error.code === 'HTTP_STATUS') error.details.status`.
 */
export type ImageError<C extends ErrorCode = ErrorCode> = { readonly [K in C]: ImageErrorWith<K> }[C];

/** An ImageError with one code. */
export interface ImageErrorWith<C extends ErrorCode> extends Error {
  readonly name: 'ImageError';
  readonly code: C;
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

export function isImageError(error: unknown): error is ImageError {
  return error instanceof CodedError;
}

export function hasCode<C extends ErrorCode>(error: unknown, code: C): error is ImageError<C> {
  return error instanceof CodedError && error.code === code;
}

/** An ImageError as plain data, which is sent between threads and shown in JSON output. */
export type ErrorData<C extends ErrorCode = ErrorCode> = {
  readonly [K in C]: {
    readonly code: K;
    readonly message: string;
    readonly details: ErrorDetails[K];
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

/** Converts any thrown value to an ImageError; one that is not becomes the cause of an INTERNAL error. */
export function asImageError(error: unknown): ImageError {
  if (isImageError(error)) return error;
  const what = error instanceof Error ? error.message : String(error);
  return new ImageError('INTERNAL', `unexpected: ${what}`, { what }, { cause: error });
}
