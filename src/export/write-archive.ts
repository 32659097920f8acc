import { hash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { Transform, Writable } from 'node:stream';
import { createGzip, createZstdCompress } from 'node:zlib';

import { ImageError } from '../errors.ts';
import { isImageId, shortId } from '../image/image-id.ts';
import { blobPathOf, corrupt, type ImagesContext, type ListedBlob } from '../images/check-blob.ts';
import { type FileTarget, writeFileTarget } from '../images/write-file.ts';
import { type CheckedBlob, openChecked } from '../store/checked-blob.ts';
import type { Store } from '../store/store.ts';
import { type TarFile, writeTar, writeTarFile } from '../system/write-tar.ts';
import type { ExportFile, ProofContent } from './contents.ts';

export type Compression = 'gzip' | 'zstd';

type ArchiveRequest = { readonly files: readonly ExportFile[]; readonly compress?: Compression | undefined };

/**
 * Writes files as a tar. A blob that may have changed since it was verified is hashed while it is copied, so the target is either complete
 * and intact or unchanged.
 *
 * @throws STORE_CORRUPT when a blob is damaged; as writeFileTarget
 */
export async function writeArchiveFile(
  context: ImagesContext,
  { files, compress, ...target }: ArchiveRequest & FileTarget,
  signal: AbortSignal,
): Promise<void> {
  await writeFileTarget({ ...target, outside: context.store.dir }, async (temporary) => {
    await using file = await open(temporary, 'wx');
    await writeTarFile(file, { files: opened(context, files, signal), compressor: compressorOf(compress) }, signal);
  });
}

/**
 * As writeArchiveFile, to a stream that stays open. The last bytes of a blob are written once it has been found to match its name, so
 * whoever reads the stream does not get a damaged blob whole.
 */
export async function writeArchiveStream(
  context: ImagesContext,
  { files, compress, output }: ArchiveRequest & { readonly output: Writable },
  signal: AbortSignal,
): Promise<void> {
  await writeTar({ files: opened(context, files, signal), output, compressor: compressorOf(compress) }, signal);
}

/** The streams of node:zlib work in threads. */
function compressorOf(compress: Compression | undefined): Transform | undefined {
  switch (compress) {
    case 'gzip':
      return createGzip({ chunkSize: 256 * 1024 });
    case 'zstd':
      return createZstdCompress({ chunkSize: 256 * 1024 });
    case undefined:
      return undefined;
  }
}

/** So many files are opened, and hashed by threads, while one is written. */
const ahead = 4;

type Opened = AsyncDisposable & { readonly file: TarFile };

/** Opens files some time before their turn. Each is closed when the next one is asked for. */
async function* opened(
  context: ImagesContext,
  files: readonly ExportFile[],
  signal: AbortSignal,
): AsyncGenerator<TarFile> {
  const waiting: Promise<Opened>[] = [];
  let next = 0;
  try {
    for (;;) {
      for (; waiting.length <= ahead && next < files.length; next += 1) {
        const file = files[next];
        if (!file) break;
        const opening = openFile(context, file, signal);
        opening.catch(() => undefined); // thrown when its turn has come
        waiting.push(opening);
      }
      const first = waiting.shift();
      if (!first) return;
      await using current = await first;
      yield current.file;
    }
  } finally {
    for (const one of await Promise.allSettled(waiting))
      if (one.status === 'fulfilled') await one.value[Symbol.asyncDispose]();
  }
}

async function openFile(context: ImagesContext, { name, content }: ExportFile, signal: AbortSignal): Promise<Opened> {
  if (content instanceof Uint8Array) return inMemory(name, content);
  if ('ofImage' in content) return inMemory(name, await readProof(context.store, content));
  const blob = await openBlob(context, content, signal);
  const { size } = content;
  const file = { name, content: blob.bytes ?? { size, read: (reuses: boolean) => blob.read(0, size, reuses) } };
  return { file, [Symbol.asyncDispose]: () => blob[Symbol.asyncDispose]() };
}

function inMemory(name: string, content: Uint8Array): Opened {
  return { file: { name, content }, [Symbol.asyncDispose]: () => Promise.resolve() };
}

/** @throws STORE_CORRUPT */
function openBlob({ store, pool }: ImagesContext, { id, size }: ListedBlob, signal: AbortSignal): Promise<CheckedBlob> {
  return openChecked(
    { id, size, path: blobPathOf(store, id) },
    {
      hashFile: (path, algorithm, bytes) => pool.run('reHash', { path, algorithm, size: bytes }),
      damaged: (problem) => corrupt(store, { id }, problem),
      isIntact: async () => (await (isImageId(id) ? store.blobState(id) : store.digestState(id, size))) === 'intact',
    },
    signal,
  );
}

/** @throws NOT_IN_STORE if another one has taken its place since the contents were listed */
export async function readProof(store: Store, { digest, ofImage }: ProofContent): Promise<Uint8Array> {
  const proofs = await store.proofsOf(ofImage);
  const found = proofs.find(({ bytes }) => `sha256:${hash('sha256', bytes)}` === digest);
  if (found) return found.bytes;
  const message = `what proved who signed ${shortId(ofImage)} has been replaced meanwhile: export it again`;
  throw new ImageError('NOT_IN_STORE', message, { asked: ofImage });
}
