import { asImageError, hasCode, ImageError, isImageError } from '../errors.ts';
import { showUrl } from '../image/show.ts';
import { debugLog } from '../system/debug.ts';
import { isOutOfFiles } from '../system/spare-files.ts';
import type { HttpObserver } from './contract.ts';
import { connectionGivenUp, type HttpContext } from './exchange.ts';
import { parseHttpDate, wholeNumber } from './headers.ts';

const debug = debugLog('http');

type Trying = {
  readonly url: string;
  /** Tries after the first, if not those of the options. With 0 nothing is waited for. */
  readonly retries: number | undefined;
  readonly observer?: HttpObserver | undefined;
  /** Called after each failed try; true if enough bytes have passed for tries to be counted anew. */
  readonly hasProgressed?: (error: unknown) => boolean;
};

/** When no file descriptor is free: how long to wait altogether for others to be closed, and for how long each time. */
const outOfFilesMs = 60_000;
const outOfFilesPauseMs = 200;

/** The longest time that one request waits for hosts that refuse, as a multiple of the longest Retry-After. */
const refusedShare = 4;

/**
 * Repeats a try until it succeeds, its failure is final, or its host is dead. A host that has asked to wait is not asked before. Where
 * an answer of 429 or 503 means that the host has too many requests, fewer are sent, and it is not counted as a try.
 *
 * @throws the error of the last try; the signal's reason once that is aborted.
 */
export async function withRetries<T>(
  { options, clock, health }: HttpContext,
  { url, retries, observer, hasProgressed }: Trying,
  attempt: () => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const { retryAfterMs } = options.limits;
  const policy = { retries: retries ?? options.retries, retryAfterMs, random: clock.random };
  const pause = (wait: () => Promise<void>): Promise<void> => observer?.pacing?.pause(wait) ?? wait();
  const origin = URL.parse(url)?.origin ?? '';
  let failed = 0;
  let waitedMs = 0;
  let refused = 0;
  let refusedMs = 0;
  /** Pauses of the host that end until then have been waited for. */
  let waitedUntilMs = -Infinity;

  /** @throws RATE_LIMITED after too long a time */
  const waitForHost = async (delayMs: number, error: ImageError): Promise<void> => {
    refusedMs += delayMs;
    if (refusedMs > refusedShare * retryAfterMs) throw refusedTooLong(error, refusedMs - delayMs);
    await pause(() => clock.sleep(delayMs, signal));
  };

  for (;;) {
    health.check(origin);
    const paused = health.pauseOf(origin);
    if (paused && paused.untilMs > waitedUntilMs) {
      if (retries === 0) throw lastError(policy, paused.error);
      waitedUntilMs = paused.untilMs;
      await waitForHost(paused.untilMs - clock.monotonic(), paused.error);
      continue;
    }
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
      const refusal = refusalOf(error, retryAfterMs);
      if (refusal?.waitMs !== undefined) {
        const origins = [origin, URL.parse(refusal.url)?.origin ?? origin]; // a redirect leads from one to the other
        health.notePause(origins, refusal.error, refusal.waitMs);
      }
      const isOfHost = refusal && retries !== 0 && observer?.pacing?.onRefused(refusal.waitMs);
      if (isCut(error)) observer?.pacing?.onCut();
      if (isOfHost) refused += 1;
      else failed = hasProgressed?.(error) ? 1 : failed + 1;
      const decision = isOfHost
        ? decideRetry({ ...policy, retries: Infinity }, refused, error)
        : decideRetry(policy, failed, error);
      const isDead = health.noteFailure(origin, error, decision.kind === 'give-up');
      debug(() => {
        const { code, message } = asImageError(error);
        const what = `${showUrl(url)}: try ${failed} failed: ${code}: ${message}`;
        if (decision.kind === 'wait' && !isDead) return `${what}; tried again after ${decision.delayMs} ms`;
        return isDead ? `${what}; its host is taken to be dead` : `${what}; not tried again`;
      });
      if (decision.kind === 'give-up') throw decision.error;
      if (isDead) throw error;
      const { delayMs } = decision;
      observer?.onRetry?.({ url: showUrl(url), ...reportedFacts(error), attempt: failed + refused, delayMs });
      waitedUntilMs = Math.max(waitedUntilMs, clock.monotonic() + delayMs);
      if (isOfHost) await waitForHost(delayMs, refusal.error);
      else await pause(() => clock.sleep(delayMs, signal));
    }
  }
}

/**
 * Waits until a host may be asked that has asked to be left alone, before a part of what is repeated.
 *
 * @throws RATE_LIMITED after too long a time
 */
export async function waitWhilePaused(
  { options, clock, health }: HttpContext,
  { url, observer }: Pick<Trying, 'url' | 'observer'>,
  signal: AbortSignal,
): Promise<void> {
  const origin = URL.parse(url)?.origin ?? '';
  let waitedMs = 0;
  let waitedUntilMs = -Infinity;
  for (;;) {
    const paused = health.pauseOf(origin);
    if (!paused || paused.untilMs <= waitedUntilMs) return;
    waitedUntilMs = paused.untilMs;
    const delayMs = paused.untilMs - clock.monotonic();
    if (waitedMs + delayMs > refusedShare * options.limits.retryAfterMs) throw refusedTooLong(paused.error, waitedMs);
    waitedMs += delayMs;
    const wait = (): Promise<void> => clock.sleep(delayMs, signal);
    await (observer?.pacing?.pause(wait) ?? wait());
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
  | { readonly kind: 'wait'; readonly delayMs: number }
  | { readonly kind: 'give-up'; readonly error: unknown };

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

/** What a request fails with whose last try failed with this. */
function lastError(policy: RetryPolicy, error: ImageError): unknown {
  const decision = decideRetry({ ...policy, retries: 0 }, 1, error);
  return decision.kind === 'give-up' ? decision.error : error;
}

type HostRefusal = {
  readonly url: string;
  readonly error: ImageError<'HTTP_STATUS'>;
  /** The Retry-After, unless it is longer than is waited for. */
  readonly waitMs: number | undefined;
};

/** What a host has answered that is too busy; undefined for any other failure. */
function refusalOf(error: unknown, longestMs: number): HostRefusal | undefined {
  if (!hasCode(error, 'HTTP_STATUS')) return undefined;
  const { url, status, retryAfterMs } = error.details;
  if (status !== 429 && status !== 503) return undefined;
  return { url, error, waitMs: retryAfterMs !== undefined && retryAfterMs <= longestMs ? retryAfterMs : undefined };
}

function refusedTooLong(error: ImageError, waitedMs: number): ImageError {
  const url = 'url' in error.details ? error.details.url : '';
  const message = `the server still refuses more requests after ${Math.round(waitedMs / 1000)} s`;
  return new ImageError('RATE_LIMITED', message, { url }, { cause: error });
}

/** Whether a connection ended before its answer was complete. */
function isCut(error: unknown): boolean {
  if (hasCode(error, 'LENGTH_MISMATCH')) return true;
  return hasCode(error, 'NETWORK') && /^(ECONNRESET|EPIPE|UND_ERR_SOCKET)$/.test(error.details.reason ?? '');
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

/** The answer that made a try fail. What a registry has said of a push for good is none. */
function statusOf(error: ImageError): { status: number; retryAfterMs?: number } {
  return hasCode(error, 'HTTP_STATUS') ? error.details : { status: 0 };
}
