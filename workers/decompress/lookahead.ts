import { ImageError } from '../../src/errors.ts';

export type Lookahead = {
  /** Resolves when at least that many bytes are held, or all there are. */
  want(bytes: number): Promise<void>;
  /** What is held; valid until the next call of `want` or the next step of `rest`. */
  held(): Buffer;
  /** Forgets the first bytes of what is held. */
  drop(bytes: number): void;
  /** What is held and everything behind it. */
  rest(): AsyncGenerator<Uint8Array>;
};

/** Chunks that can be looked at before they are used. A chunk needs to be valid only until the next is asked for. */
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

/**
 * @param path - what is shown for the archive. @param what - completes "cannot read the archive: …".
 */
export function unreadable(path: string, what: string, cause?: unknown): ImageError<'ARCHIVE_UNREADABLE'> {
  return new ImageError('ARCHIVE_UNREADABLE', `cannot read the archive: ${what}`, { path }, { cause });
}

/** @param looksLike - what a person would call it, which is advised upon by that. */
export function unsupported(path: string, looksLike: string): ImageError<'ARCHIVE_UNREADABLE'> {
  return new ImageError('ARCHIVE_UNREADABLE', `cannot read the archive: ${looksLike} is not supported`, {
    path,
    looksLike,
  });
}
