/** An image of a registry that only its conversion refuses: it can be kept as it came. */
type Keepable = { readonly keep?: 'oci' };

/**
 * Every code a caller may branch on, with its data. Details are plain and cloneable, so they can cross a thread.
 * A code, once released, keeps its meaning.
 */
export type ErrorDetails = {
  /** A bug of ours, or a worker that died twice. */
  INTERNAL: { readonly what: string };
  /** Options that do not fit. */
  USAGE: { readonly option?: string };
  REFERENCE_INVALID: { readonly input: string };
  LIST_INVALID: { readonly list: string; readonly line: number };
  CONFIG_INVALID: { readonly path: string };

  /** `of` is there where a key is not in the keystore. */
  NOT_IN_STORE: { readonly asked: string; readonly of?: 'keystore' };
  ID_AMBIGUOUS: { readonly asked: string; readonly candidates: readonly string[] };
  ID_TOO_SHORT: { readonly asked: string };
  FILE_NOT_FOUND: { readonly path: string };
  DISCOVERY_FAILED: { readonly name: string; readonly attempts: readonly string[] };
  PLATFORM_MISSING: Keepable & { readonly wanted: string; readonly available: readonly string[] };
  /** `redirectedFrom` is the host that led to this one; `takesNoCredentials`: none are ever shown to it, whatever is configured. */
  HTTP_STATUS: {
    readonly url: string;
    readonly status: number;
    readonly retryAfterMs?: number;
    readonly redirectedFrom?: string;
    readonly takesNoCredentials?: true;
    readonly proxy?: string;
  };

  /** Not an archive we read, or a damaged one. `looksLike` names what the bytes look like. */
  ARCHIVE_UNREADABLE: Keepable & { readonly path: string; readonly looksLike?: string };
  /** A tar that breaks a rule; `rule` is its number in docs/rules.md, `entry` the path inside the archive. */
  ARCHIVE_INVALID: Keepable & { readonly rule: string; readonly entry?: string; readonly offset?: number };
  /** `field` is the path of the offending member, such as `app.ports[0].port`. */
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
  /** `signers` are fingerprints or key IDs found in the signature, `searched` the prefixes whose keys were looked at. */
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

  /** `proxy` is its URL, where one was used or refused: of the next two and TLS too. */
  NETWORK: { readonly url: string; readonly reason?: string; readonly proxy?: string };
  TIMEOUT: { readonly url: string; readonly waitedMs: number; readonly proxy?: string };
  STALLED: { readonly url: string; readonly bytes: number };
  TLS: { readonly url: string; readonly reason?: string; readonly proxy?: string };
  RESPONSE_INVALID: { readonly url: string };
  LENGTH_MISMATCH: { readonly url: string; readonly expected: number; readonly received: number };
  RATE_LIMITED: { readonly url: string; readonly retryAfterMs?: number };

  /** `errno`: what the system said, where that is all there is to say. */
  STORE_CORRUPT: { readonly path: string; readonly errno?: string };
  STORE_BUSY: { readonly path: string };
  STORE_FULL: { readonly path: string };
  STORE_READ_ONLY: { readonly path: string };
  STORE_VERSION: { readonly path: string; readonly found: number; readonly supported: number };
  FILE_UNREADABLE: { readonly path: string; readonly errno?: string };
  /** A result could not be written to where it was to go: the standard output, or a file that an option names. */
  OUTPUT_FAILED: { readonly output: string; readonly reason: string };

  /** `why` is absent where it is another image; `missing`: the lock has none, `ambiguous`: there are several. */
  LOCK_MISMATCH: { readonly reference: string; readonly why?: 'missing' | 'ambiguous' };
  CANCELLED: { readonly reason: string };
  /** Something was asked of a store, a keystore, a pool, a fetcher or a finder that had been closed. */
  CLOSED: { readonly what: 'store' | 'keystore' | 'pool' | 'fetcher' | 'finder' };
};

export type ErrorCode = keyof ErrorDetails;

/**
 * Any failure that a user or a caller can meet; every other thrown error is a bug. `code` says which failure it is and
 * which `details` it has: `if (error.code === 'HTTP_STATUS') error.details.status`.
 */
export type ImageError<C extends ErrorCode = ErrorCode> = { readonly [K in C]: ImageErrorWith<K> }[C];

/** An ImageError with one code. */
interface ImageErrorWith<C extends ErrorCode> extends Error {
  readonly name: 'ImageError';
  readonly code: C;
  readonly details: ErrorDetails[C];
  /** Plain data, as JSON output shows it. */
  toJSON(): ErrorData<C>;
}

interface ImageErrorConstructor {
  readonly prototype: ImageError;
  /** @param message - what happened, one line, without what was asked: the caller knows that. */
  new <C extends ErrorCode>(code: C, message: string, details: ErrorDetails[C], options?: ErrorOptions): ImageError<C>;
}

/** Named as it is exported: stack traces and inspection show the name of the class. */
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
    return toErrorData(this as unknown as Parameters<typeof toErrorData>[0]); // the constructor below admits no other pairs of code and details
  }
};

export const ImageError = CodedError as unknown as ImageErrorConstructor; // the compiler cannot pair code and details

export function isImageError(error: unknown): error is ImageError {
  return error instanceof CodedError;
}

export function hasCode<C extends ErrorCode>(error: unknown, code: C): error is ImageError<C> {
  return error instanceof CodedError && error.code === code;
}

/** An ImageError as plain data: what crosses a thread and what JSON output shows. */
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
  return data; // of the same pair
}

export function fromErrorData({ code, message, details, cause }: ErrorData): ImageError {
  return new ImageError(code, message, details, cause && { cause: fromErrorData(cause) });
}

/** Any thrown value as an ImageError; what is not one already becomes INTERNAL, with itself as the cause. */
export function asImageError(error: unknown): ImageError {
  if (isImageError(error)) return error;
  const what = error instanceof Error ? error.message : String(error);
  return new ImageError('INTERNAL', `unexpected: ${what}`, { what }, { cause: error });
}
