import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';

/** Returns whether the next answer is to break off: `percent` of a hundred, evenly spread, the same ones each time. */
export function createLoss(percent: number): () => boolean {
  let due = 0;
  return () => {
    due += percent;
    if (due < 100) return false;
    due -= 100;
    return true;
  };
}

/** A pipeline step that fails after so many bytes. */
export function breakAfter(bytes: number) {
  return async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let left = bytes;
    for await (const chunk of chunks) {
      yield chunk.subarray(0, left);
      left -= chunk.byteLength;
      if (left > 0) continue;
      await turn(); // the bytes passed on are sent first
      throw new Error('lost, as it was asked for');
    }
  };
}

/** A pipeline step that passes bytes on at a steady rate, counted from its own start. */
export function paced(bytesPerSecond: number) {
  return async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const startMs = performance.now();
    let sent = 0;
    for await (const chunk of chunks) {
      sent += chunk.byteLength;
      const waitMs = startMs + (sent / bytesPerSecond) * 1000 - performance.now();
      if (waitMs > 0) await sleep(waitMs, undefined, { ref: false }); // no reason to stay alive
      yield chunk;
    }
  };
}
