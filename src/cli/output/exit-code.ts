import {
  type ErrorCode,
  type ImageError,
  isImageError,
  type Outcome,
  type PlanOutcome,
  type PushOutcome,
} from '../../internal.ts';

/** The kinds of failure that exit codes distinguish. */
export const exitCodes = Object.freeze({
  success: 0,
  unforeseen: 1,
  usage: 2,
  mixed: 3,
  notFound: 4,
  refused: 5,
  authentication: 6,
  network: 7,
  store: 8,
  lock: 10,
});

type Kind = Exclude<keyof typeof exitCodes, 'success' | 'mixed'>;

const kinds: Readonly<Record<Exclude<ErrorCode, 'HTTP_STATUS' | 'DEPENDENCY_FAILED' | 'QUEUE_UNAVAILABLE'>, Kind>> = {
  INTERNAL: 'unforeseen',
  USAGE: 'usage',
  REFERENCE_INVALID: 'usage',
  LIST_INVALID: 'usage',
  BATCH_EXISTS: 'usage',
  CONFIG_INVALID: 'usage',
  NOT_IN_STORE: 'notFound',
  ID_AMBIGUOUS: 'notFound',
  ID_TOO_SHORT: 'notFound',
  FILE_NOT_FOUND: 'notFound',
  DISCOVERY_FAILED: 'notFound',
  PLATFORM_MISSING: 'notFound',
  BATCH_NOT_FOUND: 'notFound',
  ARCHIVE_UNREADABLE: 'refused',
  ARCHIVE_INVALID: 'refused',
  MANIFEST_INVALID: 'refused',
  NAME_INVALID: 'refused',
  NAME_MISMATCH: 'refused',
  LABEL_INVALID: 'refused',
  LABEL_MISMATCH: 'refused',
  IMAGE_ID_MISMATCH: 'refused',
  DIGEST_MISMATCH: 'refused',
  SIZE_MISMATCH: 'refused',
  SIGNATURE_MISSING: 'refused',
  SIGNATURE_UNREADABLE: 'refused',
  SIGNATURE_INVALID: 'refused',
  SIGNATURE_EXPIRED: 'refused',
  KEY_UNKNOWN: 'refused',
  KEY_INVALID: 'refused',
  KEY_EXPIRED: 'refused',
  KEY_REVOKED: 'refused',
  KEY_WEAK: 'refused',
  LIMIT_EXCEEDED: 'refused',
  REDIRECT_REFUSED: 'refused',
  INSECURE_REFUSED: 'refused',
  TRUSTED_ROOT_REFUSED: 'refused',
  POLICY_REFUSED: 'refused',
  PUSH_REFUSED: 'refused',
  TAG_EXISTS: 'refused',
  BATCH_INVALID: 'refused',
  TARGET_REFUSED: 'refused',
  WORKERS_LOST: 'unforeseen',
  DEPENDENCY_CYCLE: 'refused',
  AUTH_REQUIRED: 'authentication',
  AUTH_DENIED: 'authentication',
  NETWORK: 'network',
  TIMEOUT: 'network',
  STALLED: 'network',
  TLS: 'network',
  RESPONSE_INVALID: 'network',
  LENGTH_MISMATCH: 'network',
  RATE_LIMITED: 'network',
  STORE_CORRUPT: 'store',
  STORE_BUSY: 'store',
  STORE_FULL: 'store',
  STORE_READ_ONLY: 'store',
  STORE_VERSION: 'store',
  FILE_UNREADABLE: 'store',
  OUTPUT_FAILED: 'store',
  LOCK_MISMATCH: 'lock',
  CANCELLED: 'unforeseen',
  CLOSED: 'unforeseen',
};

/** The exit code for several failures: the one they share, otherwise the one for a mixture. */
export function sharedExitCode(codes: Iterable<number>): number {
  const [first, second] = new Set(codes);
  if (second !== undefined) return exitCodes.mixed;
  return first ?? exitCodes.success;
}

/** The exit code of one failure. A failed dependency has that of its cause. */
export function exitCodeOf(error: ImageError): number {
  const { code, details, cause } = error;
  if (code === 'DEPENDENCY_FAILED') return isImageError(cause) ? exitCodeOf(cause) : exitCodes.unforeseen;
  if (code === 'HTTP_STATUS') return exitCodes[kindOfStatus('status' in details ? details.status : 0)];
  if (code === 'QUEUE_UNAVAILABLE')
    return exitCodes['reason' in details && details.reason === 'password' ? 'authentication' : 'network'];
  return exitCodes[Object.hasOwn(kinds, code) ? kinds[code] : 'unforeseen']; // a worker of another version may have others
}

function kindOfStatus(status: number): Kind {
  if (status === 404 || status === 410) return 'notFound';
  return status === 401 || status === 403 || status === 407 ? 'authentication' : 'network';
}

type BatchExitCode = {
  /** Adds the outcome of a request. Dependencies count through the requests that need them. */
  add(outcome: Outcome | PlanOutcome | PushOutcome): void;
  /** @param expected - the number of requests: one without an outcome is a failure. */
  result(expected: number): number;
};

/** The exit code of a batch or plan: the kind that all failures share, regardless of how many images succeeded. */
export function createBatchExitCode(): BatchExitCode {
  const failures = new Set<number>();
  let succeeded = 0;
  return {
    add(outcome) {
      if (outcome.index === undefined) return;
      if (isGood(outcome.status)) succeeded += 1;
      if (outcome.status === 'failed') failures.add(outcome.error ? exitCodeOf(outcome.error) : exitCodes.unforeseen);
    },
    result(expected) {
      if (failures.size > 0) return sharedExitCode(failures);
      return succeeded === expected ? exitCodes.success : exitCodes.unforeseen;
    },
  };
}

const good: readonly string[] = ['fetched', 'present', 'absent', 'pushed', 'planned', 'skipped'];

/** In a plan, an absent image counts as good: it can be fetched. So does in a push what is nothing for a registry. */
function isGood(status: (Outcome | PlanOutcome | PushOutcome)['status']): boolean {
  return good.includes(status);
}
