import type { Clock } from './clock.ts';

/** Takes bytes out of the bucket; a promise when they are not there yet. It rejects with the signal's reason. */
export type RateLimiter = (bytes: number, signal: AbortSignal) => Promise<void> | undefined;

/** How much unused rate is kept, in milliseconds. */
const burstMs = 100;

/** One token bucket for all who share it, served in the order they ask. @param rate - bytes a second. */
export function rateLimiter(rate: number, clock: Clock): RateLimiter {
  let paidUntil = -Infinity;
  return (bytes, signal) => {
    const now = clock.monotonic();
    paidUntil = Math.max(paidUntil, now - burstMs) + (1000 * bytes) / rate;
    return paidUntil > now ? clock.sleep(paidUntil - now, signal) : undefined;
  };
}
