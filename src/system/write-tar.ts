import { Readable, type Transform, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import type { Pack } from 'tar-stream';

/** A regular file in a tar. */
export type TarFile = { readonly name: string; readonly content: Uint8Array | TarContent };

/** Bytes that are read when their turn has come. */
export type TarContent = { readonly size: number; read(): AsyncIterable<Uint8Array> };

type TarRequest = {
  readonly files: Iterable<TarFile> | AsyncIterable<TarFile>;
  readonly output: Writable;
  /** Whether to end the output after the archive. */
  readonly end: boolean;
  /** Through which all bytes of the archive go. */
  readonly compressor?: Transform | undefined;
};

/** Constant, so that the same files make the same archive. */
const attributes = { mode: 0o644, mtime: new Date(0) };

/** Writes files as a tar, one after another, with back-pressure. @throws what `files` and `read` throw */
export async function writeTar({ files, output, end, compressor }: TarRequest, signal: AbortSignal): Promise<void> {
  const { pack } = await import('tar-stream'); // only exports need it
  const archive = pack();
  archive.on('error', () => undefined); // thrown where it is written or read, if that has begun
  const chunks = Readable.from(chunksOf(archive), { objectMode: false });
  const written = compressor
    ? pipeline(chunks, compressor, output, { end, signal })
    : pipeline(chunks, output, { end, signal });
  // The archive must not wait for an output that has failed. The failure is thrown where `written` is awaited.
  written.catch((error: unknown) => archive.destroy(error instanceof Error ? error : undefined));
  try {
    for await (const file of files) await writeEntry(archive, file);
    archive.finalize();
  } catch (error) {
    archive.destroy(error instanceof Error ? error : undefined);
    await written; // throws the first failure: that of the file, or of the output
    throw error;
  }
  await written;
}

/**
 * Reads the archive by a generator in a Readable. The archive's own `pipe` would always end the output. And with a
 * plain generator the pipeline waits for a blocked output even after an abort, if it is not to end that output.
 */
async function* chunksOf(archive: Pack): AsyncGenerator<Uint8Array> {
  for await (const chunk of archive as AsyncIterable<Uint8Array>) yield chunk;
}

async function writeEntry(archive: Pack, { name, content }: TarFile): Promise<void> {
  if (content instanceof Uint8Array) {
    await pipeline(Readable.from([content]), archive.entry({ ...attributes, name, size: content.byteLength }));
    return;
  }
  const { size } = content;
  await pipeline(Readable.from(content.read(), { objectMode: false }), archive.entry({ ...attributes, name, size }));
}
