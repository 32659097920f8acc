import type { Sink } from './contract.ts';
import type { Clock } from './open-http.ts';

/** What is handed over at once; a slow body hands over what has come every `lingerMs`. */
const batchBytes = 256 * 1024;
const lingerMs = 10;
/** What may wait for the sink before the body is held up. */
const waitingBytes = 768 * 1024;

type Pumping = {
  readonly limiter: RateLimiter | undefined;
  /** Called with the bytes of each chunk before it is taken; may throw to refuse it. */
  readonly check: (bytes: number) => void;
  readonly onAppend: () => void;
  /** Given each chunk that the sink is done with. */
  readonly recycle: ((chunk: Uint8Array) => void) | undefined;
};

/**
 * Carries a body into a sink: in batches, without joining or copying, while the body goes on. What has come before a
 * failure is handed over too, so that it need not come again.
 *
 * @throws what the sink throws first, then what the body throws.
 */
export async function pump(
  body: AsyncIterable<Uint8Array>,
  sink: Sink,
  { limiter, check, onAppend, recycle }: Pumping,
  signal: AbortSignal,
): Promise<void> {
  let batch: Uint8Array[] = [];
  let bytes = 0;
  let writing: Promise<void> | undefined;
  let broken: { readonly error: unknown } | undefined;

  const write = () => {
    if (writing || broken || bytes === 0) return;
    const chunks = batch;
    [batch, bytes] = [[], 0];
    writing = append(chunks);
  };
  const idle = async () => {
    while (writing) await writing;
  };
  const linger = setTimeout(write, lingerMs);
  const append = async (chunks: readonly Uint8Array[]) => {
    try {
      await sink.append(chunks);
      if (recycle) chunks.forEach(recycle);
      onAppend();
    } catch (error) {
      broken = { error };
    }
    writing = undefined;
    if (bytes >= batchBytes) write();
    else if (bytes > 0) linger.refresh();
  };

  let failure: { readonly error: unknown } | undefined;
  try {
    for await (const chunk of body) {
      check(chunk.byteLength);
      batch.push(chunk);
      bytes += chunk.byteLength;
      if (bytes >= batchBytes) write();
      else if (bytes === chunk.byteLength) linger.refresh();
      while (writing && bytes >= waitingBytes) await writing;
      if (broken) break;
      await limiter?.(chunk.byteLength, signal);
    }
  } catch (error) {
    failure = { error };
  }
  await idle();
  write();
  await idle();
  clearTimeout(linger);
  failure = broken ?? failure;
  if (failure) throw failure.error;
}

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

/** What the tries of one download have brought, and whether that is enough to count them anew. @see docs/rules.md H11 */
type Progress = {
  /** A try begins with so many bytes. */
  begin(bytes: number): void;
  /** After a try has failed. @returns true once enough has come since the count began */
  isEnough(tried: Tried): boolean;
};

type Tried = {
  /** The most bytes that there were during the try. */
  readonly bytes: number;
  /** Of the whole body, if that is known. */
  readonly total: number | undefined;
  readonly hasStalled: boolean;
};

/**
 * Tries are counted anew after the larger of 64 KiB and 1 % of the rest, or after all of the rest. What a stalled try
 * brought counts only if it was 1 % by itself: otherwise a server could drip for ever. Where nobody knows the rest, it is
 * taken to be as much as has come.
 *
 * @param bytes - that are there before the first try.
 */
export function createProgress(bytes: number): Progress {
  /** Where the count began, and where the try did. */
  let counted = bytes;
  let begun = bytes;
  return {
    begin(now) {
      begun = now;
      counted = Math.min(counted, now);
    },
    isEnough({ bytes: now, total, hasStalled }) {
      const rest = restOf(begun, total);
      if (hasStalled && now - begun < rest / 100) counted += Math.max(0, now - begun);
      if (now - counted < leastProgress(counted, total)) return false;
      counted = now;
      return true;
    },
  };
}

/** Bytes that have to come before anybody may speak of progress. @param bytes - that are there already. */
export function leastProgress(bytes: number, total: number | undefined): number {
  const least = Math.max(64 * 1024, restOf(bytes, total) / 100);
  return total === undefined ? least : Math.max(1, Math.min(total - bytes, least));
}

function restOf(bytes: number, total: number | undefined): number {
  return total === undefined ? bytes : total - bytes;
}
