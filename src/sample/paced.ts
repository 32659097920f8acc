import { setTimeout as sleep } from 'node:timers/promises';

/** A step of a pipeline that lets bytes through at a steady rate, counted from its own beginning. */
export function paced(bytesPerSecond: number) {
  return async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const startMs = performance.now();
    let sent = 0;
    for await (const chunk of chunks) {
      sent += chunk.byteLength;
      const waitMs = startMs + (sent / bytesPerSecond) * 1000 - performance.now();
      if (waitMs > 0) await sleep(waitMs);
      yield chunk;
    }
  };
}
