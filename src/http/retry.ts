import { ImageError, isImageError } from '../errors.ts';
import { wholeNumber } from './headers.ts';
import { parseHttpDate } from './http-date.ts';

export type RetryPolicy = {
  /** Tries after the first. */
  readonly retries: number;
  /** The longest Retry-After that is waited for. */
  readonly retryAfterMs: number;
  /** In 0..1. */
  readonly random: () => number;
};

export type RetryDecision =
  { readonly kind: 'wait'; readonly delayMs: number } | { readonly kind: 'give-up'; readonly error: unknown };

/**
 * Decides what follows a failed try: a pause, or an end and with which error.
 *
 * @param attempt - 1 for the first retry, 2 for the second, and so on.
 * @returns a server's own Retry-After in full; else 0.5, 1, 2, 4 ... 30 seconds, a fifth more or less.
 * @see docs/rules.md H11
 */
export function decideRetry(policy: RetryPolicy, attempt: number, error: unknown): RetryDecision {
  if (!isPassing(error)) return { kind: 'give-up', error };
  const { status, retryAfterMs } = statusOf(error);
  const url = 'url' in error.details ? error.details.url : '';
  if (retryAfterMs !== undefined && retryAfterMs > policy.retryAfterMs) {
    const message = `the server answered ${status} and wants ${Math.ceil(retryAfterMs / 1000)} s of patience`;
    return { kind: 'give-up', error: new ImageError('RATE_LIMITED', message, { url, retryAfterMs }, { cause: error }) };
  }
  if (attempt <= policy.retries) {
    return { kind: 'wait', delayMs: retryAfterMs ?? backoffMs(attempt, policy.random()) };
  }
  if (status !== 429) return { kind: 'give-up', error };
  const message = `the server still answers 429 after ${attempt} tries`;
  const details = { url, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  return { kind: 'give-up', error: new ImageError('RATE_LIMITED', message, details, { cause: error }) };
}

/**
 * @param text - the raw header: whole seconds, or an HTTP date.
 * @param nowMs - milliseconds since the epoch.
 * @returns milliseconds from now, never negative; undefined for what cannot be read, which counts as absent.
 * @see RFC 9110 10.2.3
 */
export function parseRetryAfter(text: string | undefined, nowMs: number): number | undefined {
  if (text === undefined) return undefined;
  const date = parseHttpDate(text);
  if (date !== undefined) return Math.max(0, date - nowMs);
  const seconds = wholeNumber(text.trim());
  return seconds === undefined ? undefined : seconds * 1000;
}

function backoffMs(attempt: number, chance: number): number {
  return Math.round(Math.min(500 * 2 ** (attempt - 1), 30_000) * (0.8 + 0.4 * chance));
}

const passingCodes = new Set(['NETWORK', 'TIMEOUT', 'STALLED', 'LENGTH_MISMATCH']);

/** True for what another try may mend. */
function isPassing(error: unknown): error is ImageError {
  if (!isImageError(error)) return false;
  const { status } = statusOf(error);
  return passingCodes.has(error.code) || status === 408 || status === 425 || status === 429 || status >= 500;
}

function statusOf({ details }: ImageError): { status: number; retryAfterMs?: number } {
  return 'status' in details ? details : { status: 0 };
}
