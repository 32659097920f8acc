import { blockBytes } from './header.ts';
import { invalid } from './refuse.ts';

/** The content after a header: that many bytes, padded to whole blocks. */
export type EntryBody = {
  readonly size: number;
  /** Gets a piece of the content; valid only during the call. */
  readonly piece?: (piece: Buffer) => void;
  /** Called after the last piece; at once when size is 0. */
  readonly done?: () => void;
};

export type TarFrames = {
  /** Processes the next bytes. */
  push(chunk: Uint8Array): void;
  /** Ends the archive. @throws ARCHIVE_INVALID unless it is complete */
  end(): void;
};

export type TarForm = {
  /** A layer may end after the content of any entry: without padding, and without one or both zero blocks. */
  readonly isLayer: boolean;
};

/**
 * Splits a tar into header blocks and contents, without copying contents, and checks its end.
 *
 * @param onHeader - gets each block that is not zero, valid only during the call, and its offset in the tar.
 * @see docs/rules.md A4, A7, R8
 */
export function createTarFrames(
  onHeader: (block: Buffer, offset: number) => EntryBody,
  { isLayer }: TarForm,
): TarFrames {
  const partial = Buffer.alloc(blockBytes);
  let filled = 0;
  let offset = 0;
  let zeroBlocks = 0;
  let body: EntryBody | undefined;
  let remaining = 0;
  let padding = 0;

  return {
    push(chunk) {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      for (let at = 0; at < bytes.length;) {
        const used = take(bytes.subarray(at));
        at += used;
        offset += used;
      }
    },
    end() {
      if (body ?? (padding > 0 && !isLayer)) throw invalid('A4', 'the archive ends inside an entry', { offset });
      if (isLayer && !isZero(partial.subarray(0, filled)))
        throw invalid('A4', 'the archive ends inside a header', { offset });
      if (zeroBlocks < 2 && !isLayer) throw invalid('A7', 'the archive ends without its two zero blocks', { offset });
    },
  };

  /** @returns how many of the bytes were used, at least one. */
  function take(bytes: Buffer): number {
    if (body) return takeBody(body, bytes);
    if (padding > 0) return takePadding(bytes);
    return zeroBlocks === 2 ? takeTail(bytes) : takeBlock(bytes);
  }

  function takeBody(current: EntryBody, bytes: Buffer): number {
    const piece = bytes.subarray(0, remaining);
    current.piece?.(piece);
    remaining -= piece.length;
    if (remaining === 0) {
      body = undefined;
      current.done?.();
    }
    return piece.length;
  }

  function takePadding(bytes: Buffer): number {
    const used = Math.min(padding, bytes.length);
    padding -= used;
    return used;
  }

  function takeTail(bytes: Buffer): number {
    if (!isZero(bytes)) throw invalid('A7', 'data behind the end of the archive', { offset });
    return bytes.length;
  }

  function takeBlock(bytes: Buffer): number {
    const used = Math.min(blockBytes - filled, bytes.length);
    if (used === blockBytes) {
      readBlock(bytes.subarray(0, blockBytes), offset);
      return used;
    }
    bytes.copy(partial, filled, 0, used);
    filled += used;
    if (filled === blockBytes) {
      filled = 0;
      readBlock(partial, offset + used - blockBytes);
    }
    return used;
  }

  function readBlock(block: Buffer, start: number): void {
    if (isZero(block)) {
      zeroBlocks += 1;
      return;
    }
    if (zeroBlocks > 0) throw invalid('A7', 'data behind the end of the archive', { offset: start });
    const next = onHeader(block, start);
    remaining = next.size;
    padding = (blockBytes - (next.size % blockBytes)) % blockBytes;
    if (remaining === 0) next.done?.();
    else body = next;
  }
}

const zeros = Buffer.alloc(64 * 1024);

function isZero(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += zeros.length) {
    const part = bytes.subarray(at, at + zeros.length);
    if (part.compare(zeros, 0, part.length) !== 0) return false;
  }
  return true;
}
