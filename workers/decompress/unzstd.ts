import { createZstdDecompress, type ZstdDecompress } from 'node:zlib';

import type { Memory, Share } from '../memory.ts';
import { overLimit } from '../tar/refuse.ts';
import { unreadable, unsupported } from './lookahead.ts';

const outputBytes = 256 * 1024;

const windowMaximum = 128 * 1024 * 1024;
/** Memory for nearly all files, and for those with a larger window. */
const small = { window: 8 * 1024 * 1024, held: 9 * 1024 * 1024 };

/** So many frames in a row may give no output: each costs as much as thousands of bytes. */
const emptyFrames = 16_384;

/**
 * Decompresses a zstd file of one or more frames. Skippable frames are allowed, as in zstd:chunked. A chunk is used up
 * before the next is requested. Reserves memory for the window of each frame, at most 128 MiB.
 *
 * @param path - shown in errors. @param memory - reserves memory for the window.
 * @throws ARCHIVE_UNREADABLE for a stream that is damaged, incomplete, or followed by other bytes; LIMIT_EXCEEDED for
 * too many frames without content; what `chunks` throws.
 * @see docs/rules.md A2; RFC 8878
 */
export async function* unzstd(
  chunks: AsyncIterable<Uint8Array>,
  path: string,
  memory: Memory,
): AsyncGenerator<Uint8Array> {
  const engine = createZstdDecompress({ chunkSize: outputBytes });
  await using held = holdWindow(memory, path);
  const frames = { sinceOutput: 0 };
  const fed = feed(engine, chunks, { path, held, frames });
  fed.catch((error: unknown) => engine.destroy(error instanceof Error ? error : new Error(String(error))));
  try {
    for await (const chunk of engine) {
      frames.sinceOutput = 0;
      yield chunk as Buffer; // a stream without object mode or encoding
    }
  } catch (error) {
    if (!isFault(error)) throw error;
    throw unreadable(path, `its zstd stream is damaged (${error.message})`, error);
  }
}

type Window = AsyncDisposable & { readonly grow: (windowBytes: number) => Promise<void> };

/** Reserves memory for the largest window so far. While it waits for more memory, it has none. */
function holdWindow(memory: Memory, path: string): Window {
  let held = 0;
  let share: Promise<Share> | undefined;
  return {
    async grow(windowBytes) {
      if (windowBytes > windowMaximum) throw unsupported(path, 'zstd with a window of more than 128 MiB of memory');
      const needed = windowBytes <= small.window ? small.held : windowMaximum;
      if (needed <= held) return;
      held = needed;
      (await share)?.[Symbol.dispose]();
      share = memory.reserve(needed);
      await share;
    },
    async [Symbol.asyncDispose]() {
      await share?.then(
        (reserved) => reserved[Symbol.dispose](),
        () => undefined,
      );
    },
  };
}

type Feeding = { readonly path: string; readonly held: Window; readonly frames: { sinceOutput: number } };

/**
 * The input is written frame by frame: the engine ends at the end of a frame unless the written piece ends there, too.
 */
async function feed(
  engine: ZstdDecompress,
  chunks: AsyncIterable<Uint8Array>,
  { path, held, frames }: Feeding,
): Promise<void> {
  let windowBytes = 0;
  const walk = createZstdFrames(path, (bytes) => {
    windowBytes = bytes;
    frames.sinceOutput += 1;
  });
  for await (const chunk of chunks) {
    let rest = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    while (rest.length > 0) {
      const end = walk.take(rest);
      if (frames.sinceOutput > emptyFrames)
        throw overLimit('silent-frames', emptyFrames, 'its zstd frames give nothing');
      await held.grow(windowBytes);
      await write(engine, rest.subarray(0, end));
      rest = rest.subarray(end);
    }
  }
  walk.end();
  engine.end();
}

/** Resolves when the piece is used up. */
function write(engine: ZstdDecompress, piece: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    engine.write(piece, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

function isFault(error: unknown): error is Error & { readonly code: string } {
  return error instanceof Error && 'code' in error && /^(?:ZSTD_error_|Z_BUF_ERROR$)/.test(String(error.code));
}

/** Finds the ends of the frames in a zstd stream. */
type ZstdFrames = {
  /** @returns how many of the bytes come before the next frame, at least one. */
  take(bytes: Buffer): number;
  /** @throws ARCHIVE_UNREADABLE unless the last frame is complete */
  end(): void;
};

/** The number of bytes to read next, or to skip. */
type Step = { readonly read: number } | { readonly skip: number };

/**
 * Follows the frames of a zstd file without decompressing them.
 *
 * @param path - shown in errors. @param onFrame - called for each frame, during the call that takes its header, with
 * the memory in bytes that its decompression needs; 0 for a skippable frame.
 * @returns frames whose calls throw ARCHIVE_UNREADABLE for bytes that are no frame.
 * @see RFC 8878 §3.1
 */
function createZstdFrames(path: string, onFrame: (windowBytes: number) => void): ZstdFrames {
  let frame = scanFrame(path, onFrame);
  let step = frame.next();
  let isWithin = false;
  let held = Buffer.alloc(0);

  /** Continues the current step. @returns how many of the bytes it used */
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

/** In a single segment, the window is the whole content. @see RFC 8878 §3.1.1.1.4 */
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
