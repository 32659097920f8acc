import { isImageError } from '../errors.ts';
import { showUrl } from '../image/show-url.ts';
import { isOutOfFiles } from '../system/spare-files.ts';
import type { HttpContext } from './context.ts';
import { givenUp } from './exchange.ts';
import { decideRetry } from './retry.ts';
import type { HttpObserver } from './types.ts';

export type Trying = {
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
