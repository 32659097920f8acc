import { hash as hashOf } from 'node:crypto';
import { closeSync, fstatSync, lstatSync, readSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';

import { hasCode, type ImageError } from '../errors.ts';
import type { Digest } from '../image/digest.ts';
import { type ImageId, isImageId } from '../image/image-id.ts';
import { errnoOf } from '../system/errno.ts';
import { openOwnFile, openOwnFileSync, stampText } from '../system/files.ts';
import { abortable } from '../system/single-flight.ts';

/** What is wrong with a blob that is not what its name says. */
type BlobDamage = 'missing' | 'unreadable' | 'wrong size' | 'wrong hash';

/** A blob, or an archive, whose name says the hash that it must have. */
export type NamedBlob = { readonly id: Digest | ImageId; readonly size: number; readonly path: string };

/** A blob that is checked while it is read. */
export type CheckedBlob = AsyncDisposable & {
  /** All of it, if it is small: then it has been checked. */
  readonly bytes: Uint8Array | undefined;
  /**
   * The bytes from one position to another. Those with the last byte of the blob come only once the whole blob has been found to match
   * its name.
   *
   * @param reusesMemory - whether a chunk need be valid only until the next one is asked for. Default false.
   * @throws the error for a damaged blob
   */
  read(from: number, to: number, reusesMemory?: boolean): AsyncGenerator<Uint8Array>;
  /** Resolves when the blob has been found to match its name, or to be unchanged. @throws the error for a damaged blob */
  sound(): Promise<void>;
  /** Hashes the blob, also an unchanged one, since its reader has found other bytes in it. @throws the error for a damaged blob */
  rehash(): Promise<void>;
};

type Checking = {
  /** Hashes a file in a thread. */
  readonly hashFile: (
    path: string,
    algorithm: 'sha256' | 'sha512',
    size: number,
  ) => Promise<{ readonly hex: string; readonly bytes: number }>;
  readonly damaged: (problem: BlobDamage) => ImageError;
  /** Whether the file has not changed since it was hashed: then it is not hashed again. Default: that is not known. @see docs/rules.md ST1 */
  readonly isIntact?: () => Promise<boolean>;
};

/** A smaller blob is read into memory. */
const smallBytes = 64 * 1024;
/** Measured with 2 MB blobs: a fifth less processor time than with 256 KiB, which means a change of threads each. */
const chunkBytes = 1024 * 1024;

/**
 * Opens a blob whose bytes go to where they cannot be taken back. While they are read, a thread hashes the file, unless it is known to be
 * intact.
 *
 * @throws the error for a damaged blob
 */
export async function openChecked(
  { id, size, path }: NamedBlob,
  { hashFile, damaged, isIntact }: Checking,
  signal: AbortSignal,
): Promise<CheckedBlob> {
  const algorithm = isImageId(id) ? 'sha512' : 'sha256';
  const wanted = id.slice('sha256:'.length); // both prefixes have the same length
  const orDamaged = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT' || hasCode(error, 'FILE_NOT_FOUND')) throw damaged('missing');
      if (errnoOf(error) !== undefined || hasCode(error, 'FILE_UNREADABLE')) throw damaged('unreadable');
      throw error;
    }
  };
  if (size <= smallBytes) {
    // at once: threads would take longer to be asked than the file to be read
    const bytes = await orDamaged(Promise.try(() => readSmall(path, size + 1)));
    if (bytes.byteLength !== size) throw damaged('wrong size');
    if (hashOf(algorithm, bytes) !== wanted) throw damaged('wrong hash');
    return {
      bytes,
      async *read(from, to) {
        yield await Promise.resolve(bytes.subarray(from, to));
      },
      sound: () => Promise.resolve(),
      rehash: () => Promise.resolve(),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }
  await using resources = new AsyncDisposableStack();
  const file = resources.use(await orDamaged(openOwnFile(path)));
  const stat = fstatSync(file.fd, { bigint: true });
  if (stat.size !== BigInt(size)) throw damaged('wrong size');

  /** What was checked is what is being read. */
  const requireSame = async (): Promise<void> => {
    const now = await orDamaged(Promise.try(() => lstatSync(path, { bigint: true })));
    if (stampText(now) !== stampText(stat)) throw damaged('wrong hash');
  };
  const hash = async (): Promise<void> => {
    const { hex } = await orDamaged(abortable(hashFile(path, algorithm, size), signal));
    if (hex !== wanted) throw damaged('wrong hash');
  };
  let hashing: Promise<void> | undefined;
  const rehash = (): Promise<void> => (hashing ??= hash());
  const check = async (): Promise<void> => {
    if (!(await isIntact?.())) await rehash();
    await requireSame();
  };
  let fault: { readonly error: unknown } | undefined;
  const sound = check();
  sound.catch((error: unknown) => (fault = { error }));

  const owned = resources.move();
  return {
    bytes: undefined,
    async *read(from, to, reusesMemory = false) {
      for await (const [chunk, end] of orReadDamaged(readRange(file, { from, to, reusesMemory }), orDamaged)) {
        if (fault) throw fault.error;
        if (end === size) {
          await sound;
          if (isIntact) await requireSame(); // it was not hashed to its end
        }
        yield chunk;
      }
    },
    sound: () => sound,
    rehash,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The first bytes of a file, at most `bytes`. */
function readSmall(path: string, bytes: number): Uint8Array {
  const file = openOwnFileSync(path);
  try {
    const buffer = Buffer.allocUnsafe(bytes);
    let end = 0;
    for (let read = 1; read > 0 && end < bytes; end += read) read = readSync(file, buffer, end, bytes - end, end);
    return buffer.subarray(0, end);
  } finally {
    closeSync(file);
  }
}

/** Memory of chunks that were used, for the next blobs: new memory for each chunk is what collections of garbage came from. */
const spareBuffers: Buffer[] = [];

type Range = { readonly from: number; readonly to: number; readonly reusesMemory: boolean };

/** Chunks of a file, each with the position of its end. */
function readRange(file: FileHandle, { from, to, reusesMemory }: Range): AsyncGenerator<readonly [Uint8Array, number]> {
  return reusesMemory ? readAhead(file, from, to) : readEach(file, from, to);
}

async function* readEach(file: FileHandle, from: number, to: number): AsyncGenerator<readonly [Uint8Array, number]> {
  for (let at = from; at < to;) {
    const chunk = await readChunk(file, Buffer.allocUnsafeSlow(Math.min(chunkBytes, to - at)), at);
    at += chunk.byteLength;
    yield [chunk, at];
  }
}

/** The next chunk is read while one is used. Memory of a range that did not come to its end is left to who may still have it. */
async function* readAhead(file: FileHandle, from: number, to: number): AsyncGenerator<readonly [Uint8Array, number]> {
  const takeBuffer = (): Buffer => spareBuffers.pop() ?? Buffer.allocUnsafeSlow(chunkBytes);
  let [used, spare] = [takeBuffer(), takeBuffer()];
  const readFrom = (at: number): Promise<Uint8Array> | undefined => {
    if (at >= to) return undefined;
    const reading = readChunk(file, spare.subarray(0, Math.min(chunkBytes, to - at)), at);
    reading.catch(() => undefined); // thrown when its turn has come
    return reading;
  };
  let at = from;
  let next = readFrom(at);
  try {
    while (next) {
      const chunk = await next;
      at += chunk.byteLength;
      [used, spare] = [spare, used];
      next = readFrom(at);
      yield [chunk, at];
    }
  } finally {
    await next?.catch(() => undefined); // the file is closed next
  }
  spareBuffers.push(used, spare);
}

async function readChunk(file: FileHandle, buffer: Buffer, at: number): Promise<Uint8Array> {
  const { bytesRead } = await file.read(buffer, 0, buffer.byteLength, at);
  if (bytesRead === 0) throw Object.assign(new Error('the file has become shorter'), { code: 'EIO' });
  return buffer.subarray(0, bytesRead);
}

async function* orReadDamaged<T>(
  chunks: AsyncGenerator<T>,
  orDamaged: <R>(work: Promise<R>) => Promise<R>,
): AsyncGenerator<T> {
  for (;;) {
    const result = await orDamaged(chunks.next());
    if (result.done) return;
    yield result.value;
  }
}
