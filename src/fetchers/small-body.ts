/** A body that stays in memory. */
export type SmallBody = {
  readonly bytes: number;
  append(chunks: readonly Uint8Array[]): void;
  /** What was appended; valid until free(). */
  content(): Uint8Array;
  /** Gives the memory back at once: left to the garbage collector, thousands of bodies pile up until it runs. */
  free(): void;
};

/**
 * Copies what comes: a chunk is a slice of one of the network's buffers, many times its size, which it would keep alive.
 *
 * @param total - bytes of the whole body.
 */
export function createSmallBody(total: number): SmallBody {
  const whole = new Uint8Array(total);
  let bytes = 0;
  return {
    get bytes() {
      return bytes;
    },
    append(chunks) {
      for (const chunk of chunks) {
        whole.set(chunk, bytes);
        bytes += chunk.byteLength;
      }
    },
    content: () => whole.subarray(0, bytes),
    free() {
      whole.buffer.transfer(0);
    },
  };
}
