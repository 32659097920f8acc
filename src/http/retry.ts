import { isImageError, ImageError } from '../errors.ts';
import { showUrl } from '../image/show.ts';
import { isOutOfFiles } from '../system/spare-files.ts';
import type { HttpContext } from './open-http.ts';
import { givenUp } from './exchange.ts';
import type { HttpObserver } from './contract.ts';
import { wholeNumber, parseHttpDate } from './headers.ts';

type Trying = {
  readonly url: string;
  /** Tries after the first. */
  readonly retries: number;
  readonly observer: HttpObserver | undefined;
  /** Asked after each try that failed: true when so much has come that tries are counted anew. */
  readonly hasProgressed?: (error: unknown) => boolean;
};

/** How long others may take to close their files and sockets, and how often one looks. */
const filesMs = 60_000;
const retryMs = 200;

/**
 * Repeats a try until it succeeds or its failure is final, as it is where nothing answers any more.
 *
 * @throws what the last try threw; the signal's reason once that is aborted.
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
      if (isOutOfFiles(error) && waitedMs < filesMs) {
        waitedMs += retryMs; // no try of the server's: there was nothing left to ask it with
        await pause(() => clock.sleep(retryMs, signal));
        continue;
      }
      if (error === givenUp) {
        await pause(() => Promise.resolve());
        continue;
      }
      failed = hasProgressed?.(error) ? 1 : failed + 1;
      const decision = decideRetry(policy, failed, error);
      const isDead = health.failed(origin, error, decision.kind === 'give-up');
      if (decision.kind === 'give-up') throw decision.error;
      if (isDead) throw error;
      observer?.onRetry?.({ url: showUrl(url), ...facts(error), attempt: failed, delayMs: decision.delayMs });
      await pause(() => clock.sleep(decision.delayMs, signal));
    }
  }
}

/** What failed, and where it led to: by redirects to another host, or to a proxy. */
function facts(error: unknown): { readonly code: string; readonly url?: string; readonly status?: number } {
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
  /** In 0..1. */
  readonly random: () => number;
};

type RetryDecision =
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
