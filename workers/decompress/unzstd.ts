import { createZstdDecompress, type ZstdDecompress } from 'node:zlib';

import type { Memory, Share } from '../memory.ts';
import { overLimit } from '../tar/refuse.ts';
import { unreadable, unsupported } from './unreadable.ts';
import { createZstdFrames } from './zstd-frames.ts';

const outputBytes = 256 * 1024;

const windowMaximum = 128 * 1024 * 1024;
/** What is held of memory: by nearly all files, and by those with a larger window. */
const small = { window: 8 * 1024 * 1024, held: 9 * 1024 * 1024 };

/** Frames in a row that may give nothing: each costs as much as thousands of bytes. */
const emptyFrames = 16_384;

/**
 * Decompresses a zstd file of one or more frames, those that are to be skipped among them, as zstd:chunked has them.
 * Done with a chunk before it asks for the next; holds the window that a frame asks for, at most 128 MiB.
 *
 * @param path - shown in errors. @param memory - for the window.
 * @throws ARCHIVE_UNREADABLE for a stream that is damaged, cut short, or followed by anything; LIMIT_EXCEEDED for one of
 * frames without content; what `chunks` throws.
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

/** The memory of the largest window so far. What waits for more holds no more than a small one meanwhile. */
function holdWindow(memory: Memory, path: string): Window {
  let held = 0;
  let share: Promise<Share> | undefined;
  return {
    async grow(windowBytes) {
      if (windowBytes > windowMaximum) throw unsupported(path, 'zstd with a window of more than 128 MiB of memory');
      const wanted = windowBytes <= small.window ? small.held : windowMaximum;
      if (wanted <= held) return;
      held = wanted;
      (await share)?.[Symbol.dispose]();
      share = memory.reserve(wanted);
      await share;
    },
    async [Symbol.asyncDispose]() {
      await share?.then(
        (one) => one[Symbol.dispose](),
        () => undefined,
      );
    },
  };
}

type Feeding = { readonly path: string; readonly held: Window; readonly frames: { sinceOutput: number } };

/** The engine ends at the end of a frame unless its input does so too. */
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

/** Resolves when the piece has been used up. */
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
