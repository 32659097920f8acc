import { createGunzip, type Gunzip } from 'node:zlib';

import { createLookahead } from './lookahead.ts';
import { unreadable } from './unreadable.ts';

/** Large pieces take half the processor time of zlib's default; a small file does not pay for a large buffer. */
const outputBytes = { least: 16 * 1024, most: 256 * 1024 };

/**
 * Inflates a gzip file of one or more members; done with a chunk before it asks for the next.
 *
 * @param path - shown in errors.
 * @throws ARCHIVE_UNREADABLE for a stream that is damaged, cut short, or followed by anything; what `chunks` throws.
 * @see docs/rules.md A2; RFC 1952
 */
export async function* gunzip(chunks: AsyncIterable<Uint8Array>, path: string): AsyncGenerator<Uint8Array> {
  const input = createLookahead(chunks);
  await input.want(1);
  const { least, most } = outputBytes;
  const chunkSize = Math.min(most, Math.max(least, input.held().length * 4));
  const engine = createGunzip({ chunkSize });
  const fed = feed(engine, input.rest(), path);
  fed.catch((error: unknown) => engine.destroy(error instanceof Error ? error : new Error(String(error))));
  try {
    for await (const output of engine) {
      const chunk = output as Buffer<ArrayBuffer>; // a stream without object mode or encoding
      yield chunk;
      free(chunk, chunkSize);
    }
  } catch (error) {
    if (!isFault(error)) throw error;
    const what =
      error.code === 'Z_BUF_ERROR' ? 'its gzip stream is cut short' : `its gzip stream is damaged (${error.message})`;
    throw unreadable(path, what, error);
  }
}

/**
 * Gives a used-up output buffer back at once. Left to the garbage collector, they alone would make it run every 64 MB, over
 * a heap that has nothing else to give.
 */
function free({ buffer, byteOffset, byteLength }: Buffer<ArrayBuffer>, chunkSize: number): void {
  const isUsedUp = byteOffset + byteLength === buffer.byteLength;
  if (isUsedUp && buffer.byteLength === chunkSize && chunkSize > Buffer.poolSize) buffer.transfer(0);
}

/** The engine ignores zeros behind the last member, and says so only by leaving them unread. */
async function feed(engine: Gunzip, chunks: AsyncIterable<Uint8Array>, path: string): Promise<void> {
  let fed = 0;
  for await (const chunk of chunks) {
    await write(engine, chunk);
    fed += chunk.length;
    if (engine.bytesWritten !== fed) throw unreadable(path, 'there is something behind its gzip stream');
  }
  engine.end();
}

/** Resolves when the chunk has been used up. */
function write(engine: Gunzip, chunk: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    engine.write(chunk, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

const faults: ReadonlySet<unknown> = new Set(['Z_DATA_ERROR', 'Z_BUF_ERROR', 'Z_NEED_DICT']);

function isFault(error: unknown): error is Error & { readonly code: string } {
  return error instanceof Error && 'code' in error && faults.has(error.code);
}
