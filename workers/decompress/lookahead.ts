import { ImageError } from '../../src/errors.ts';

export type Lookahead = {
  /** Resolves when at least that many bytes are held, or all remaining ones. */
  want(bytes: number): Promise<void>;
  /** The held bytes; valid until the next call of `want` or the next step of `rest`. */
  held(): Buffer;
  /** Drops the first held bytes. */
  drop(bytes: number): void;
  /** The held bytes and everything after them. */
  rest(): AsyncGenerator<Uint8Array>;
};

/**
 * Reads chunks ahead, so that bytes can be examined before they are used. A chunk needs to be valid only until the next
 * is requested.
 */
export function createLookahead(chunks: AsyncIterable<Uint8Array>): Lookahead {
  const iterator = chunks[Symbol.asyncIterator]();
  let held: Buffer = Buffer.alloc(0);
  let isEnded = false;

  return {
    async want(bytes) {
      while (!isEnded && held.length < bytes) {
        const kept = Buffer.from(held);
        const next = await iterator.next();
        if (next.done === true) isEnded = true;
        held = next.done === true ? kept : kept.length === 0 ? wrap(next.value) : Buffer.concat([kept, next.value]);
      }
    },
    held: () => held,
    drop(bytes) {
      held = held.subarray(bytes);
    },
    async *rest() {
      if (held.length > 0) yield held;
      if (!isEnded) yield* { [Symbol.asyncIterator]: () => iterator };
    },
  };
}

function wrap(chunk: Uint8Array): Buffer {
  return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}

/** @param path - shown for the archive. @param what - completes "cannot read the archive: …". */
export function unreadable(path: string, what: string, cause?: unknown): ImageError<'ARCHIVE_UNREADABLE'> {
  return new ImageError('ARCHIVE_UNREADABLE', `cannot read the archive: ${what}`, { path }, { cause });
}

/** @param looksLike - the usual name of the format, by which the user gets advice. */
export function unsupported(path: string, looksLike: string): ImageError<'ARCHIVE_UNREADABLE'> {
  return new ImageError('ARCHIVE_UNREADABLE', `cannot read the archive: ${looksLike} is not supported`, {
    path,
    looksLike,
  });
}
