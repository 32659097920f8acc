import type { Clock } from './clock.ts';
import type { Pacing } from './types.ts';

/** What a body has to keep up: no silence of `stallMs`, and `minRate` bytes a second over each `windowMs` of waiting. */
export type Pace = { readonly stallMs: number; readonly minRate: number | undefined; readonly windowMs: number };

export type Slowness = { readonly bytes: number; readonly what: string };

/**
 * Passes a body on and calls `onSlow`, which has to end it, once it does not keep pace. Only time spent waiting for the
 * other side counts: a reader that takes its time makes no server slow. Verdicts wait for one look at the sockets, since
 * a thread that was busy finds its timers first and what came meanwhile thereafter.
 */
export async function* watched(
  body: AsyncIterable<Uint8Array>,
  { stallMs, minRate, windowMs }: Pace,
  clock: Clock,
  onSlow: (slowness: Slowness) => void,
  pacing?: Pacing,
): AsyncGenerator<Uint8Array, void> {
  let bytes = 0;
  let isWaiting = true;
  const silence = setTimeout(() => {
    const before = bytes;
    setImmediate(() => {
      if (isWaiting && bytes === before) onSlow({ bytes, what: `nothing came for ${stallMs / 1000} s` });
    });
  }, stallMs);

  let since = clock.monotonic();
  let waitedMs = 0;
  let windowBytes = 0;
  const measure = () => {
    const spent = waitedMs + (isWaiting ? clock.monotonic() - since : 0);
    if (minRate === undefined || spent < windowMs) return;
    if (windowBytes * 1000 < minRate * spent) onSlow({ bytes, what: `less than ${minRate} bytes a second` });
    [waitedMs, windowBytes, since] = [0, 0, clock.monotonic()];
  };
  const rate = minRate === undefined ? undefined : setInterval(() => setImmediate(measure), windowMs / 10);

  pacing?.onWaiting(true);
  try {
    for await (const chunk of body) {
      isWaiting = false;
      bytes += chunk.byteLength;
      pacing?.onWaiting(false);
      pacing?.onBytes(chunk.byteLength);
      if (rate) {
        waitedMs += clock.monotonic() - since;
        windowBytes += chunk.byteLength;
      }
      yield chunk;
      isWaiting = true;
      pacing?.onWaiting(true);
      if (rate) since = clock.monotonic();
      silence.refresh();
    }
  } finally {
    clearTimeout(silence);
    clearInterval(rate);
    pacing?.onWaiting(false);
  }
}
