import { unreadable } from './unreadable.ts';

/** Where the next piece of a zstd stream ends: at the end of its frame, or with the bytes that are there. */
export type ZstdFrames = {
  /** @returns how many of the bytes, at least one of them, are before the next frame's first. */
  take(bytes: Buffer): number;
  /** @throws ARCHIVE_UNREADABLE unless the last frame was whole */
  end(): void;
};

/** Bytes to look at, or to pass by. */
type Step = { readonly read: number } | { readonly skip: number };

/**
 * Walks over the frames of a zstd file without decompressing them.
 *
 * @param path - shown in errors. @param onFrame - told of each, within the call that takes its header: the bytes that have to
 * be held to decompress it, 0 for one that is skipped.
 * @returns calls throw ARCHIVE_UNREADABLE for what is no frame.
 * @see RFC 8878 §3.1
 */
export function createZstdFrames(path: string, onFrame: (windowBytes: number) => void): ZstdFrames {
  let frame = scanFrame(path, onFrame);
  let step = frame.next();
  let isWithin = false;
  let held = Buffer.alloc(0);

  /** Brings the current step on. @returns how many of the bytes it used */
  const advance = (bytes: Buffer, current: Step): number => {
    if ('skip' in current) {
      const used = Math.min(current.skip, bytes.length);
      step = used < current.skip ? { value: { skip: current.skip - used }, done: false } : frame.next(held);
      return used;
    }
    const piece = bytes.subarray(0, current.read - held.length);
    held = Buffer.concat([held, piece]);
    if (held.length < current.read) return piece.length;
    const read = held;
    held = Buffer.alloc(0);
    step = frame.next(read);
    return piece.length;
  };

  return {
    take(bytes) {
      let at = 0;
      for (isWithin = true; step.done !== true;) {
        if (at === bytes.length && !('skip' in step.value && step.value.skip === 0)) return at;
        at += advance(bytes.subarray(at), step.value);
      }
      frame = scanFrame(path, onFrame);
      step = frame.next();
      isWithin = false;
      return at;
    },
    end() {
      if (isWithin) throw unreadable(path, 'its zstd stream is cut short');
    },
  };
}

function* scanFrame(path: string, onFrame: (windowBytes: number) => void): Generator<Step, void, Buffer> {
  const magic = (yield { read: 4 }).readUInt32LE();
  if ((magic & 0xfffffff0) >>> 0 === 0x184d2a50) {
    const skipped = (yield { read: 4 }).readUInt32LE();
    onFrame(0);
    yield { skip: skipped };
    return;
  }
  if (magic !== 0xfd2fb528) throw unreadable(path, 'there is something behind its zstd stream');

  const descriptor = (yield { read: 1 }).readUInt8();
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const sizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  const header = yield { read: (isSingleSegment ? 0 : 1) + dictionaryBytes + sizeBytes };
  onFrame(isSingleSegment ? contentBytes(header.subarray(dictionaryBytes)) : windowBytes(header.readUInt8()));

  for (let isLast = false; !isLast;) {
    const header = (yield { read: 3 }).readUIntLE(0, 3);
    const isRepeated = ((header >> 1) & 3) === 1;
    isLast = (header & 1) === 1;
    yield { skip: isRepeated ? 1 : header >> 3 };
  }
  if ((descriptor & 4) !== 0) yield { skip: 4 };
}

/** @see RFC 8878 §3.1.1.1.2 */
function windowBytes(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

/** All of the content is the window then. @see RFC 8878 §3.1.1.1.4 */
function contentBytes(field: Buffer): number {
  switch (field.length) {
    case 1:
      return field.readUInt8();
    case 2:
      return field.readUInt16LE() + 256;
    case 4:
      return field.readUInt32LE();
    default:
      return Number(field.readBigUInt64LE());
  }
}
