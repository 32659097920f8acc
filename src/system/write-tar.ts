import type { FileHandle } from 'node:fs/promises';
import { Readable, type Transform, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import { maxWriteBytes, syncWhileWritten, writeAll } from './write-files.ts';

/** A regular file in a tar. */
export type TarFile = { readonly name: string; readonly content: Uint8Array | TarContent };

/** Bytes that are read when their turn has come. */
export type TarContent = {
  readonly size: number;
  /** @param reusesMemory - whether a chunk need be valid only until the next one is asked for. */
  read(reusesMemory: boolean): AsyncIterable<Uint8Array>;
};

type Files = Iterable<TarFile> | AsyncIterable<TarFile>;

type TarRequest = {
  readonly files: Files;
  readonly output: Writable;
  /** Through which all bytes of the archive go. */
  readonly compressor?: Transform | undefined;
};

/** Writes files as a tar to a stream, which stays open, with back-pressure. @throws what `files` and `read` throw */
export async function writeTar({ files, output, compressor }: TarRequest, signal: AbortSignal): Promise<void> {
  if (compressor) return pipeline(forCompressor(files, compressor), compressor, output, { end: false, signal });
  // With a plain generator the pipeline waits for a blocked output even after an abort, if it is not to end that output.
  const chunks = Readable.from(inPieces(tarOf(files, false)), { objectMode: false });
  await pipeline(chunks, output, { end: false, signal });
}

/**
 * The same files are compressed to the same bytes. Those depend on how the input is cut, so it comes as it is read, and on whether the
 * end is known with the last piece, so that is compressed before.
 */
async function* forCompressor(files: Files, compressor: Transform): AsyncGenerator<Uint8Array> {
  yield* inPieces(tarOf(files, false));
  await new Promise<void>((resolve) => void compressor.write(Buffer.alloc(0), () => resolve()));
}

/** The output may be a file too. */
async function* inPieces(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks)
    for (let at = 0; at < chunk.byteLength; at += maxWriteBytes) yield chunk.subarray(at, at + maxWriteBytes);
}

/** Writes files as a tar to a file, from its beginning, and syncs it meanwhile. @throws as writeTar; system errors */
export async function writeTarFile(
  file: FileHandle,
  { files, compressor }: Omit<TarRequest, 'output'>,
  signal: AbortSignal,
): Promise<void> {
  const disk = syncWhileWritten(() => file.datasync());
  let position = 0;
  const write = async (chunks: AsyncIterable<Uint8Array>): Promise<void> => {
    for await (const chunk of chunks) {
      signal.throwIfAborted();
      await writeAll(file, [chunk], position, (bytes) => (position += bytes));
      disk.wrote(chunk.byteLength);
    }
  };
  try {
    await (compressor
      ? pipeline(forCompressor(files, compressor), compressor, write, { signal })
      : write(tarOf(files, true)));
    await disk.end();
  } finally {
    await disk.settled();
  }
}

const blockBytes = 512;

/** The bytes of a tar. What is in memory comes in one piece with its header. */
async function* tarOf(files: Files, reusesMemory: boolean): AsyncGenerator<Uint8Array> {
  for await (const { name, content } of files) {
    if (content instanceof Uint8Array) {
      yield Buffer.concat([headerOf(name, content.byteLength), content, paddingOf(content.byteLength)]);
      continue;
    }
    const { size } = content;
    yield headerOf(name, size);
    let bytes = 0;
    for await (const chunk of content.read(reusesMemory)) {
      bytes += chunk.byteLength;
      yield chunk;
    }
    if (bytes !== size) throw new Error(`${name} has ${bytes} bytes in place of ${size}`);
    if (size % blockBytes > 0) yield paddingOf(size);
  }
  yield Buffer.alloc(2 * blockBytes);
}

function paddingOf(size: number): Buffer {
  return Buffer.alloc((blockBytes - (size % blockBytes)) % blockBytes);
}

const nameBytes = 100;
/** What eleven octal digits hold. */
const octalMaximum = 8 ** 11 - 1;

/**
 * The header of a regular file with constant attributes, so that the same files make the same archive. What it cannot hold is in a pax
 * header before it.
 *
 * @see POSIX.1-2017 pax, Extended Header and ustar Interchange Format
 */
function headerOf(name: string, size: number): Buffer {
  const records = [
    ...(Buffer.byteLength(name) > nameBytes ? [paxRecord('path', name)] : []),
    ...(size > octalMaximum ? [paxRecord('size', String(size))] : []),
  ].join('');
  const shortName = Buffer.from(name).subarray(0, nameBytes);
  const header = block({ name: shortName, size: Math.min(size, octalMaximum), type: '0' });
  if (records === '') return header;
  const pax = Buffer.from(records);
  const before = block({ name: Buffer.from('PaxHeader'), size: pax.byteLength, type: 'x' });
  return Buffer.concat([before, pax, paddingOf(pax.byteLength), header]);
}

/** The length at the beginning of a record counts itself. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  const bytes = Buffer.byteLength(rest);
  const digits = String(bytes + String(bytes).length).length;
  return `${bytes + digits}${rest}`;
}

type Block = { readonly name: Uint8Array; readonly size: number; readonly type: '0' | 'x' };

function block({ name, size, type }: Block): Buffer {
  const header = Buffer.alloc(blockBytes);
  const octal = (value: number, at: number, digits: number): void => {
    header.write(value.toString(8).padStart(digits, '0'), at, 'latin1');
  };
  header.set(name, 0);
  octal(0o644, 100, 7);
  octal(0, 108, 7); // owner
  octal(0, 116, 7); // group
  octal(size, 124, 11);
  octal(0, 136, 11); // time
  header.write('        ', 148, 'latin1'); // counts as spaces in the sum
  header.write(`${type}`, 156, 'latin1');
  header.write('ustar\0' + '00', 257, 'latin1');
  octal(0, 329, 7); // device
  octal(0, 337, 7);
  octal(
    header.reduce((sum, byte) => sum + byte, 0),
    148,
    6,
  );
  header.write('\0 ', 154, 'latin1');
  return header;
}
