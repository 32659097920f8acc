import type { RateLimiter } from './rate-limit.ts';
import type { Sink } from './types.ts';

/** What is handed over at once; a slow body hands over what has come every `lingerMs`. */
const batchBytes = 256 * 1024;
const lingerMs = 10;
/** What may wait for the sink before the body is held up. */
const waitingBytes = 768 * 1024;

export type Pumping = {
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
