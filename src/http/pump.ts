import type { Clock, HttpOptions, Sink } from './contract.ts';

/** The size of a batch for the sink. A slow body is handed over in smaller batches, every `lingerMs`. */
const batchBytes = 256 * 1024;
const lingerMs = 10;
/** The body is paused while at least this many bytes wait for the sink. */
const waitingBytes = 768 * 1024;

type Pumping = {
  readonly limiter: RateLimiter | undefined;
  /** Called with the size of each chunk before it is accepted; throws to refuse it. */
  readonly check: (bytes: number) => void;
  readonly onAppend: () => void;
  /** Called with each chunk that the sink has written. */
  readonly recycle: ((chunk: Uint8Array) => void) | undefined;
};

/**
 * Writes a body into a sink in batches, without joining or copying chunks; the body is read on while the sink writes. The bytes
 * before a failure of the body are written too, so that a resumed download does not request them again.
 *
 * @throws the error of the sink if it fails, else the error of the body.
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
  let sinkFailure: { readonly error: unknown } | undefined;

  const write = () => {
    if (writing || sinkFailure || bytes === 0) return;
    const chunks = batch;
    [batch, bytes] = [[], 0];
    writing = append(chunks);
  };
  const waitForWrite = async () => {
    while (writing) await writing;
  };
  const lingerTimer = setTimeout(write, lingerMs);
  const append = async (chunks: readonly Uint8Array[]) => {
    try {
      await sink.append(chunks);
      if (recycle) chunks.forEach(recycle);
      onAppend();
    } catch (error) {
      sinkFailure = { error };
    }
    writing = undefined;
    if (bytes >= batchBytes) write();
    else if (bytes > 0) lingerTimer.refresh();
  };

  let failure: { readonly error: unknown } | undefined;
  try {
    for await (const chunk of body) {
      check(chunk.byteLength);
      batch.push(chunk);
      bytes += chunk.byteLength;
      if (bytes >= batchBytes) write();
      else if (bytes === chunk.byteLength) lingerTimer.refresh();
      while (writing && bytes >= waitingBytes) await writing;
      if (sinkFailure) break;
      await limiter?.(chunk.byteLength, signal);
    }
  } catch (error) {
    failure = { error };
  }
  await waitForWrite();
  write();
  await waitForWrite();
  clearTimeout(lingerTimer);
  failure = sinkFailure ?? failure;
  if (failure) throw failure.error;
}

/** Spends bytes of the rate. @returns undefined if they may pass now, or a promise of that; it rejects with the signal's reason. */
export type RateLimiter = (bytes: number, signal: AbortSignal) => Promise<void> | undefined;

/** How much unused rate is saved, in milliseconds. */
const burstMs = 100;

/** A token bucket, which serves its users in the order of their calls. @param rate - bytes a second. */
export function rateLimiter(rate: number, clock: Clock): RateLimiter {
  let paidUntil = -Infinity;
  return (bytes, signal) => {
    const now = clock.monotonic();
    paidUntil = Math.max(paidUntil, now - burstMs) + (1000 * bytes) / rate;
    return paidUntil > now ? clock.sleep(paidUntil - now, signal) : undefined;
  };
}

/** One rate for all downloads, and one for those of each host that has a limit of its own. Both hold. */
export function createLimiters(
  { limitRate, limitRates = {} }: Pick<HttpOptions, 'limitRate' | 'limitRates'>,
  clock: Clock,
): (urls: readonly string[]) => RateLimiter | undefined {
  const all = limitRate === undefined ? undefined : rateLimiter(limitRate, clock);
  const hosts = new Map(
    Object.entries(limitRates).map(([host, rate]) => [host.toLowerCase(), rateLimiter(rate, clock)]),
  );
  if (hosts.size === 0) return () => all;
  return (urls) => {
    const own = new Set(
      urls
        .flatMap(namesOfHost)
        .map((name) => hosts.get(name))
        .filter((limiter) => limiter !== undefined),
    );
    const limiters = [...(all ? [all] : []), ...own];
    if (limiters.length <= 1) return limiters[0];
    return (bytes, signal) => {
      const waits = limiters.map((limiter) => limiter(bytes, signal)).filter((wait) => wait !== undefined);
      return waits.length > 0 ? Promise.all(waits).then(() => undefined) : undefined;
    };
  };
}

/** The host of a URL, without its port where that is the usual one, and with it. */
function namesOfHost(url: string): readonly string[] {
  const { protocol, hostname, port, host } = new URL(url);
  return port === '' ? [host, `${hostname}:${protocol === 'https:' ? 443 : 80}`] : [host];
}

/** Decides whether the tries of one download have received enough bytes for tries to be counted anew. @see docs/rules.md H11 */
type Progress = {
  /** Called when a try begins, with the number of bytes received so far. */
  begin(bytes: number): void;
  /** Called after a try has failed. @returns true once enough bytes have arrived since the count began */
  isEnough(tried: Tried): boolean;
};

type Tried = {
  /** The most bytes that the sink has held. */
  readonly bytes: number;
  /** The size of the whole body, if known. */
  readonly total: number | undefined;
  readonly hasStalled: boolean;
};

/**
 * Tries are counted anew after the larger of 64 KiB and 1 % of the missing bytes, or after all of the missing bytes. The bytes of a
 * stalled try count only if they are 1 % by themselves: otherwise a server could send a few bytes at a time without end. If the
 * total is unknown, as many bytes are assumed missing as have arrived.
 *
 * @param bytes - the bytes that the sink has before the first try.
 */
export function createProgress(bytes: number): Progress {
  /** The number of bytes when the count began, and when the try began. */
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

/** How many more bytes have to arrive to count as progress. @param bytes - the bytes that have arrived so far. */
export function leastProgress(bytes: number, total: number | undefined): number {
  const least = Math.max(64 * 1024, restOf(bytes, total) / 100);
  return total === undefined ? least : Math.max(1, Math.min(total - bytes, least));
}

function restOf(bytes: number, total: number | undefined): number {
  return total === undefined ? bytes : total - bytes;
}
