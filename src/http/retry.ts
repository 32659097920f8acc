import { asImageError, ImageError, isImageError } from '../errors.ts';
import { showUrl } from '../image/show.ts';
import { debugLog } from '../system/debug.ts';
import { isOutOfFiles } from '../system/spare-files.ts';
import type { HttpObserver } from './contract.ts';
import { connectionGivenUp, type HttpContext } from './exchange.ts';
import { parseHttpDate, wholeNumber } from './headers.ts';

const debug = debugLog('http');

type Trying = {
  readonly url: string;
  /** Tries after the first. */
  readonly retries: number;
  readonly observer: HttpObserver | undefined;
  /** Called after each failed try; true if enough bytes have arrived for tries to be counted anew. */
  readonly hasProgressed?: (error: unknown) => boolean;
};

/** When no file descriptor is free: how long to wait altogether for others to be closed, and for how long each time. */
const outOfFilesMs = 60_000;
const outOfFilesPauseMs = 200;

/**
 * Repeats a try until it succeeds, its failure is final, or its host is dead.
 *
 * @throws the error of the last try; the signal's reason once that is aborted.
 */
export async function withRetries<T>(
  { options, clock, health }: HttpContext,
  { url, retries, observer, hasProgressed }: Trying,
  attempt: () => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const policy = { retries, retryAfterMs: options.limits.retryAfterMs, random: clock.random };
  const pause = (wait: () => Promise<void>): Promise<void> => observer?.pacing?.pause(wait) ?? wait();
  const origin = URL.parse(url)?.origin ?? '';
  let failed = 0;
  let waitedMs = 0;
  for (;;) {
    health.check(origin);
    try {
      return await attempt();
    } catch (error) {
      signal.throwIfAborted();
      if (isOutOfFiles(error) && waitedMs < outOfFilesMs) {
        waitedMs += outOfFilesPauseMs; // does not count as a try: no request was sent
        await pause(() => clock.sleep(outOfFilesPauseMs, signal));
        continue;
      }
      if (error === connectionGivenUp) {
        debug(() => `${showUrl(url)}: gives up its connection to others and waits`);
        await pause(() => Promise.resolve());
        continue;
      }
      failed = hasProgressed?.(error) ? 1 : failed + 1;
      const decision = decideRetry(policy, failed, error);
      const isDead = health.noteFailure(origin, error, decision.kind === 'give-up');
      debug(() => {
        const { code, message } = asImageError(error);
        const what = `${showUrl(url)}: try ${failed} failed: ${code}: ${message}`;
        if (decision.kind === 'wait' && !isDead) return `${what}; tried again after ${decision.delayMs} ms`;
        return isDead ? `${what}; its host is taken to be dead` : `${what}; not tried again`;
      });
      if (decision.kind === 'give-up') throw decision.error;
      if (isDead) throw error;
      observer?.onRetry?.({ url: showUrl(url), ...reportedFacts(error), attempt: failed, delayMs: decision.delayMs });
      await pause(() => clock.sleep(decision.delayMs, signal));
    }
  }
}

/** What is reported of a failed try. The URL of the error is that of a proxy or of another host if a redirect led there. */
function reportedFacts(error: unknown): { readonly code: string; readonly url?: string; readonly status?: number } {
  if (!isImageError(error)) return { code: 'INTERNAL' };
  const { code, details } = error;
  return {
    code,
    ...('url' in details && { url: details.url }),
    ...('status' in details && { status: details.status }),
  };
}

type RetryPolicy = {
  /** Tries after the first. */
  readonly retries: number;
  /** The longest Retry-After that is waited for. */
  readonly retryAfterMs: number;
  /** A number in 0..1. */
  readonly random: () => number;
};

type RetryDecision =
  { readonly kind: 'wait'; readonly delayMs: number } | { readonly kind: 'give-up'; readonly error: unknown };

/**
 * Decides what follows a failed try: a pause before the next one, or the end with an error.
 *
 * @param attempt - 1 for the first retry, 2 for the second, and so on.
 * @returns a pause of the server's Retry-After; without one, of 0.5, 1, 2, 4 ... 30 seconds, varied by up to a fifth.
 * @see docs/rules.md H11
 */
export function decideRetry(policy: RetryPolicy, attempt: number, error: unknown): RetryDecision {
  if (!isTransient(error)) return { kind: 'give-up', error };
  const { status, retryAfterMs } = statusOf(error);
  const url = 'url' in error.details ? error.details.url : '';
  if (retryAfterMs !== undefined && retryAfterMs > policy.retryAfterMs) {
    const message = `the server answered ${status} and asks to wait ${Math.ceil(retryAfterMs / 1000)} s`;
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
 * @returns milliseconds from now, never negative; undefined for a value that cannot be parsed.
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

const transientCodes = new Set(['NETWORK', 'TIMEOUT', 'STALLED', 'LENGTH_MISMATCH']);

/** Whether another try may succeed. */
function isTransient(error: unknown): error is ImageError {
  if (!isImageError(error)) return false;
  const { status } = statusOf(error);
  return transientCodes.has(error.code) || status === 408 || status === 425 || status === 429 || status >= 500;
}

function statusOf({ details }: ImageError): { status: number; retryAfterMs?: number } {
  return 'status' in details ? details : { status: 0 };
}
