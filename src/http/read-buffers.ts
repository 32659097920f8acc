import type { OnReadOpts } from 'node:net';

/** What one look at a socket may bring. */
const readBytes = 256 * 1024;
/** How many buffers wait to be used again, at most. */
const spareBuffers = 32;

/** What sockets read into, used again and again: to make memory for each read costs several times the read itself. */
export type ReadBuffers = {
  /** How a socket reads; `push` takes what came, as its stream does. */
  readInto(push: (chunk: Buffer) => boolean): OnReadOpts;
  /** Takes back the memory of a chunk that nobody looks at any more; whose is not known is left to the collector. */
  readonly recycle: (chunk: Uint8Array) => void;
};

/**
 * @param copiedBytes - what is not larger is copied, and its buffer kept: a parser may hold on to pieces of a header, so
 * this is to be the most that a header can take.
 */
export function createReadBuffers(copiedBytes: number): ReadBuffers {
  const spare: Buffer[] = [];
  /** Buffers that are with a reader, and how much of each was filled. */
  const lent = new WeakMap<ArrayBufferLike, { readonly buffer: Buffer; readonly filled: number }>();
  const take = () => spare.pop() ?? Buffer.allocUnsafeSlow(readBytes);

  return {
    readInto(push) {
      let buffer = take();
      return {
        buffer: () => buffer,
        callback(bytes) {
          const chunk = buffer.subarray(0, bytes);
          if (bytes <= copiedBytes) return push(Buffer.from(chunk));
          lent.set(buffer.buffer, { buffer, filled: bytes });
          buffer = take();
          return push(chunk);
        },
      };
    },
    recycle(chunk) {
      const of = lent.get(chunk.buffer);
      // only once its last bytes come back: of what lies before the end, a parser may not have seen the rest
      if (!of || chunk.byteOffset + chunk.byteLength !== of.filled) return;
      lent.delete(chunk.buffer);
      if (spare.length < spareBuffers) spare.push(of.buffer);
    },
  };
}
