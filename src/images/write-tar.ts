import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import type { Pack } from 'tar-stream';

import type { Store } from '../store/store.ts';
import { openSound, type SoundBlob } from './sound-blob.ts';

/** A regular file of an archive: bytes, or a blob that was hashed. */
export type TarFile = { readonly name: string; readonly content: Uint8Array | SoundBlob };

export type TarRequest = {
  readonly files: readonly TarFile[];
  readonly output: Writable;
  /** Whether the output ends with the archive. */
  readonly end: boolean;
};

/** The same for all, so that the same files make the same archive. */
const attributes = { mode: 0o644, mtime: new Date(0) };

/** Writes files as a tar, one after another, as fast as the output takes them. @throws STORE_CORRUPT */
export async function writeTar(store: Store, { files, output, end }: TarRequest, signal: AbortSignal): Promise<void> {
  const { pack } = await import('tar-stream'); // which nothing but exports needs
  const archive = pack();
  const written = pipeline(Readable.from(chunksOf(archive), { objectMode: false }), output, { end, signal });
  // Nobody takes what is given to it any more; the failure itself is told when `written` is awaited.
  written.catch((error: unknown) => archive.destroy(error instanceof Error ? error : undefined));
  try {
    for (const file of files) await writeEntry(store, archive, file);
    archive.finalize();
  } catch (error) {
    archive.destroy(error instanceof Error ? error : undefined);
    await written; // which fails with what failed first: this, or the output
    throw error;
  }
  await written;
}

/**
 * The stream itself has a pipe of its own, which would end the output in any case; and of a generator alone the pipeline waits
 * for an output that is stuck, aborted or not, when it is not to end it.
 */
async function* chunksOf(archive: Pack): AsyncGenerator<Uint8Array> {
  for await (const chunk of archive as AsyncIterable<Uint8Array>) yield chunk;
}

async function writeEntry(store: Store, archive: Pack, { name, content }: TarFile): Promise<void> {
  if (content instanceof Uint8Array) {
    await pipeline(Readable.from([content]), archive.entry({ ...attributes, name, size: content.byteLength }));
    return;
  }
  await using file = await openSound(store, content);
  const source = file.createReadStream({ highWaterMark: 1024 * 1024, autoClose: false });
  await pipeline(source, archive.entry({ ...attributes, name, size: content.size }));
}
