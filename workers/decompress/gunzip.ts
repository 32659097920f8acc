import { createGunzip, type Gunzip, gunzipSync } from 'node:zlib';

import { createLookahead, unreadable } from './lookahead.ts';

/**
 * Large pieces take half the processor time of zlib's default; for a small file a large buffer would be too expensive.
 */
const outputBytes = { least: 16 * 1024, most: 256 * 1024 };

/** A file up to this size is inflated in one step: a stream would cost ten times as much as the inflation itself. */
const smallBytes = { packed: 64 * 1024, unpacked: 1024 * 1024 };

/**
 * Inflates a gzip file of one or more members. A chunk is used up before the next is requested. A yielded chunk is
 * valid until the next is requested.
 *
 * @param path - shown in errors.
 * @throws ARCHIVE_UNREADABLE for a stream that is damaged, incomplete, or followed by other bytes; what `chunks`
 * throws.
 * @see docs/rules.md A2; RFC 1952
 */
export async function* gunzip(chunks: AsyncIterable<Uint8Array>, path: string): AsyncGenerator<Uint8Array> {
  const input = createLookahead(chunks);
  await input.want(smallBytes.packed + 1);
  const whole = input.held().length <= smallBytes.packed && inflateWhole(input.held(), path);
  if (whole) {
    yield whole;
    free(whole);
    return;
  }
  const chunkSize = chunkSizeFor(input.held());
  const engine = createGunzip({ chunkSize });
  const fed = feed(engine, input.rest(), path);
  fed.catch((error: unknown) => engine.destroy(error instanceof Error ? error : new Error(String(error))));
  try {
    for await (const output of engine) {
      const chunk = output as Buffer<ArrayBuffer>; // a stream without object mode or encoding
      yield chunk;
      if (isUsedUp(chunk, chunkSize)) free(chunk);
    }
  } catch (error) {
    throw isFault(error) ? damaged(path, error) : error;
  }
}

/** @returns undefined when the output is too large for one step. */
function inflateWhole(packed: Buffer, path: string): Buffer<ArrayBuffer> | undefined {
  try {
    const options = { chunkSize: chunkSizeFor(packed), maxOutputLength: smallBytes.unpacked, info: true };
    // With `info` the result includes the engine, which knows how much it has read. The type declarations lack this.
    const { buffer, engine } = gunzipSync(packed, options) as unknown as Inflated;
    if (engine.bytesWritten !== packed.length) throw trailing(path);
    return buffer;
  } catch (error) {
    if (isFault(error)) throw damaged(path, error);
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

type Inflated = { readonly buffer: Buffer<ArrayBuffer>; readonly engine: { readonly bytesWritten: number } };

function chunkSizeFor(held: Buffer): number {
  const { least, most } = outputBytes;
  return Math.min(most, Math.max(least, held.length * 4));
}

/** The engine writes to the same buffer until it is full. */
function isUsedUp({ buffer, byteOffset, byteLength }: Buffer<ArrayBuffer>, chunkSize: number): boolean {
  return buffer.byteLength === chunkSize && byteOffset + byteLength === chunkSize;
}

/**
 * Frees an output buffer at once. If that were left to the garbage collector, these buffers alone would make it run
 * every 64 MB, over a heap with nothing else to free.
 */
function free({ buffer }: Buffer<ArrayBuffer>): void {
  if (buffer.byteLength !== Buffer.poolSize) buffer.transfer(0); // the pool is shared with other buffers
}

/** The engine ignores zeros after the last member, which shows only in that it leaves them unread. */
async function feed(engine: Gunzip, chunks: AsyncIterable<Uint8Array>, path: string): Promise<void> {
  let fed = 0;
  for await (const chunk of chunks) {
    await write(engine, chunk);
    fed += chunk.length;
    if (engine.bytesWritten !== fed) throw trailing(path);
  }
  engine.end();
}

/** Resolves when the chunk is used up. */
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

function trailing(path: string): Error {
  return unreadable(path, 'there is something behind its gzip stream');
}

function damaged(path: string, error: Error & { readonly code: string }): Error {
  const what =
    error.code === 'Z_BUF_ERROR' ? 'its gzip stream is cut short' : `its gzip stream is damaged (${error.message})`;
  return unreadable(path, what, error);
}
