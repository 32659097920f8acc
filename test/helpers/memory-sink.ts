import type { Sink, Validator } from '../../src/http/contract.ts';

export type MemorySink = Sink & {
  /** Everything in it. */
  content(): Buffer;
  /** Sizes of what was appended at once. */
  readonly appends: readonly number[];
  readonly restarts: number;
};

/** A sink without a file, perhaps with what an earlier run left in it. */
export function memorySink(left: { bytes?: Uint8Array; validator?: Validator; total?: number } = {}): MemorySink {
  let chunks: Uint8Array[] = left.bytes ? [left.bytes] : [];
  let bytes = left.bytes?.byteLength ?? 0;
  let { validator, total } = left;
  let restarts = 0;
  const appends: number[] = [];
  return {
    get bytes() {
      return bytes;
    },
    get validator() {
      return validator;
    },
    get total() {
      return total;
    },
    get restarts() {
      return restarts;
    },
    appends,
    content: () => Buffer.concat(chunks),
    restart(about) {
      [chunks, bytes, validator, total] = [[], 0, about.validator, about.total];
      restarts += 1;
      return Promise.resolve();
    },
    append(more) {
      const size = more.reduce((sum, chunk) => sum + chunk.byteLength, 0);
      chunks.push(...more.map((chunk) => Buffer.from(chunk))); // they are used anew
      bytes += size;
      appends.push(size);
      return Promise.resolve();
    },
  };
}
