import { createZstdDecompress, type ZstdDecompress } from 'node:zlib';

import { unreadable } from './unreadable.ts';
import { createZstdFrames } from './zstd-frames.ts';

const outputBytes = 256 * 1024;

/**
 * Decompresses a zstd file of one or more frames, those that are to be skipped among them, as zstd:chunked has them.
 * Done with a chunk before it asks for the next; holds the window that a frame asks for, at most 128 MiB.
 *
 * @param path - shown in errors.
 * @throws ARCHIVE_UNREADABLE for a stream that is damaged, cut short, or followed by anything; what `chunks` throws.
 * @see docs/rules.md A2; RFC 8878
 */
export async function* unzstd(chunks: AsyncIterable<Uint8Array>, path: string): AsyncGenerator<Uint8Array> {
  const engine = createZstdDecompress({ chunkSize: outputBytes });
  const fed = feed(engine, chunks, path);
  fed.catch((error: unknown) => engine.destroy(error instanceof Error ? error : new Error(String(error))));
  try {
    for await (const chunk of engine) yield chunk as Buffer; // a stream without object mode or encoding
  } catch (error) {
    if (!isFault(error)) throw error;
    throw unreadable(path, `its zstd stream is damaged (${error.message})`, error);
  }
}

/** The engine ends at the end of a frame unless its input does so too. */
async function feed(engine: ZstdDecompress, chunks: AsyncIterable<Uint8Array>, path: string): Promise<void> {
  const frames = createZstdFrames(path);
  for await (const chunk of chunks) {
    let rest = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    while (rest.length > 0) {
      const end = frames.take(rest);
      await write(engine, rest.subarray(0, end));
      rest = rest.subarray(end);
    }
  }
  frames.end();
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
