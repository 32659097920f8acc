import type { Clock, Pacing, RequestBody } from './contract.ts';
import type { RateLimiter } from './pump.ts';

/** A body of bytes that are in memory. */
export function bodyOf(bytes: Uint8Array): RequestBody {
  return {
    bytes: bytes.byteLength,
    async *open() {
      yield await Promise.resolve(bytes); // Readable.from takes 50 µs
    },
  };
}

/** A body that says when it begins and ends to be sent: between the two, no answer is waited for. */
export function tellSending(body: RequestBody, onBegin: () => void, onEnd?: () => void): RequestBody {
  return {
    bytes: body.bytes,
    async *open() {
      onBegin();
      yield* body.open();
      onEnd?.();
    },
  };
}

/** What is too slow, after how many bytes. */
export type Slowness = { readonly bytes: number; readonly what: string };

type Sending = {
  readonly limiter: RateLimiter | undefined;
  readonly pacing: Pacing | undefined;
  readonly stallMs: number;
  readonly minRate: number | undefined;
  /** The time over which the rate is averaged. */
  readonly windowMs: number;
  readonly clock: Clock;
  /** Must end the exchange. */
  readonly onSlow: (slowness: Slowness) => void;
  /** The bytes that the transport has taken. */
  readonly sent: { bytes: number };
};

/**
 * Sends a body at the allowed rate, and calls `onSlow` when its server takes it too slowly. Only time in which a chunk is with the
 * transport counts.
 */
export function paceBody(body: RequestBody, sending: Sending, signal: AbortSignal): RequestBody {
  const { limiter, pacing, stallMs, minRate, windowMs, clock, onSlow, sent } = sending;
  return {
    bytes: body.bytes,
    async *open() {
      let [takenMs, windowBytes] = [0, 0];
      let timer: NodeJS.Timeout | undefined;
      const onSilence = () => onSlow({ bytes: sent.bytes, what: `nothing was taken for ${stallMs / 1000} s` });
      pacing?.onWaiting(false);
      try {
        for await (const chunk of body.open()) {
          await limiter?.(chunk.byteLength, signal);
          // after one poll of the sockets: when the thread was busy, timers run before what has become writable is written
          const own = setTimeout(() => setImmediate(() => timer === own && onSilence()), stallMs);
          timer = own;
          const beganMs = clock.monotonic();
          pacing?.onWaiting(true);
          yield chunk;
          clearTimeout(timer);
          timer = undefined;
          pacing?.onWaiting(false);
          pacing?.onBytes(chunk.byteLength);
          sent.bytes += chunk.byteLength;
          windowBytes += chunk.byteLength;
          takenMs += clock.monotonic() - beganMs;
          if (minRate === undefined || takenMs < windowMs) continue;
          if (windowBytes * 1000 < minRate * takenMs)
            onSlow({ bytes: sent.bytes, what: `less than ${minRate} bytes a second were taken` });
          [takenMs, windowBytes] = [0, 0];
        }
        pacing?.onWaiting(true);
      } finally {
        clearTimeout(timer);
        timer = undefined;
      }
    },
  };
}
