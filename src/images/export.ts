import { constants, createWriteStream } from 'node:fs';
import { copyFile as cloneFile, type FileHandle, open } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import { defaultLimits, type Limits } from '../image/limits.ts';
import type { RegistryImage } from '../store/registry-store.ts';
import type { StoredImage } from '../store/store.ts';
import { errnoOf } from '../system/errno.ts';
import { openOwnFile } from '../system/files.ts';
import { maxWriteBytes } from '../system/write-files.ts';
import { type TarContent, type TarFile, writeTar, writeTarFile } from '../system/write-tar.ts';
import {
  blobPathOf,
  corrupt,
  hashBlob,
  type ImagesContext,
  inParallel,
  type ListedBlob,
  openSound,
  requireSound,
  type SoundBlob,
} from './check-blob.ts';
import { type Archive, makeArchiveOf, withArchiveOf } from './registry-image.ts';
import { type LayoutFile, type RegistryFormat, registryLayout } from './registry-layout.ts';
import { isRegistryImage } from './resolve-image.ts';
import { type FileTarget, writeFileTarget } from './write-file.ts';

/** `limits` are those for the archive of a registry image; default `defaultLimits`. */
export type ArchiveExport = { readonly image: StoredImage | RegistryImage; readonly limits?: Limits };

/**
 * Writes the uncompressed image to a file. The copy is hashed before it gets its final name, so the target is either
 * the complete, intact image or unchanged. Of a registry image the archive is made right there, and not stored.
 *
 * @returns what of a registry image an archive cannot express.
 * @throws STORE_CORRUPT when a blob is damaged; as writeFileTarget, and makeArchiveOf
 */
export async function exportImage(
  context: ImagesContext,
  { image, limits = defaultLimits, ...target }: ArchiveExport & FileTarget,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { store } = context;
  const warnings: string[] = [];
  await writeFileTarget({ ...target, outside: store.dir }, async (to) => {
    if (!isRegistryImage(image)) return copyBlob(context, { id: image.imageId, size: image.size, to }, signal);
    const made = await makeArchiveOf(context, image, { path: to, limits }, signal);
    warnings.push(...made.warnings);
  });
  if (isRegistryImage(image)) store.touchRegistryImage(image.reference);
  else store.touch(image.imageId);
  return warnings;
}

/**
 * Writes the uncompressed image to a stream, which stays open. Since written bytes cannot be taken back, the blob is
 * hashed first, and exactly the file that was hashed is sent. Of a registry image an archive is made first.
 *
 * @returns as exportImage. @throws STORE_CORRUPT before the first byte when a blob is damaged; as makeArchiveOf
 */
export async function exportToStream(
  context: ImagesContext,
  { image, limits = defaultLimits, output }: ArchiveExport & { readonly output: Writable },
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { store } = context;
  if (!isRegistryImage(image)) {
    await using file = await openSound(store, await hashBlob(context, { id: image.imageId, size: image.size }, signal));
    store.touch(image.imageId);
    await sendFile(file, output, signal);
    return [];
  }
  const send = async ({ path, warnings }: Archive): Promise<readonly string[]> => {
    await using file = await openOwnFile(path);
    store.touchRegistryImage(image.reference);
    await sendFile(file, output, signal);
    return warnings;
  };
  return withArchiveOf(context, image, limits, send, signal);
}

function sendFile(file: FileHandle, output: Writable, signal: AbortSignal): Promise<void> {
  return pipeline(file.createReadStream({ highWaterMark, autoClose: false }), output, { end: false, signal });
}

export type RegistryExport = { readonly image: RegistryImage; readonly format: RegistryFormat };

/** Blobs read in parallel. */
const width = 4;

/**
 * Writes a registry image to a tar: an OCI archive, or one for `docker load`. Every blob is hashed before it is
 * written, so the target is either the complete, intact image or unchanged.
 *
 * @throws STORE_CORRUPT when a blob is damaged; as writeFileTarget
 */
export async function exportRegistryImage(
  context: ImagesContext,
  { image, format, ...target }: RegistryExport & FileTarget,
  signal: AbortSignal,
): Promise<void> {
  await writeFileTarget({ ...target, outside: context.store.dir }, async (temporary) => {
    const files = await soundFiles(context, { image, format }, signal);
    await using file = await open(temporary, 'wx');
    await writeTarFile(file, { files }, signal);
  });
  context.store.touchRegistryImage(image.reference);
}

/** As exportRegistryImage, to a stream that stays open. @throws STORE_CORRUPT before the first byte */
export async function exportRegistryImageToStream(
  context: ImagesContext,
  { output, ...request }: RegistryExport & { readonly output: Writable },
  signal: AbortSignal,
): Promise<void> {
  const files = await soundFiles(context, request, signal);
  context.store.touchRegistryImage(request.image.reference);
  await writeTar({ files, output }, signal);
}

/** Hashes the blobs of the layout. @returns its files in order. */
async function soundFiles(
  context: ImagesContext,
  { image, format }: RegistryExport,
  signal: AbortSignal,
): Promise<readonly TarFile[]> {
  const files: TarFile[] = [];
  const check = async ({ name, content }: LayoutFile, position: number): Promise<void> => {
    const isMade = content instanceof Uint8Array;
    files[position] = {
      name,
      content: isMade ? content : soundContent(context, await hashBlob(context, content, signal)),
    };
  };
  await inParallel(await registryLayout(context.store, image, format), width, check, signal);
  return files;
}

/** The bytes of exactly the file that was hashed. */
function soundContent({ store }: ImagesContext, blob: SoundBlob): TarContent {
  return {
    size: blob.size,
    async *read() {
      await using file = await openSound(store, blob);
      yield* file.createReadStream({ highWaterMark, autoClose: false }) as AsyncIterable<Buffer>;
    },
  };
}

/** Copies a blob to a file that must not exist, and hashes the copy. @throws STORE_CORRUPT; system errors of `to` */
export async function copyBlob(
  context: ImagesContext,
  { id, size, to }: ListedBlob & { readonly to: string },
  signal: AbortSignal,
): Promise<void> {
  const path = blobPathOf(context.store, id);
  try {
    await copyFile(path, to, signal);
  } catch (error) {
    if (!(error instanceof Error && 'path' in error && error.path === path)) throw error;
    throw corrupt(context.store, { id }, errnoOf(error) === 'ENOENT' ? 'missing' : 'unreadable');
  }
  await requireSound(context, { id, size, path: to }, signal);
}

const clone = constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE;
const highWaterMark = maxWriteBytes;

/**
 * Copies to a file that must not exist. Clones the file where the filesystem can share blocks; otherwise copies the
 * bytes, which can be aborted.
 */
async function copyFile(from: string, to: string, signal: AbortSignal): Promise<void> {
  await using source = await openOwnFile(from); // also checks that it is a regular file, which the clone does not
  try {
    await cloneFile(from, to, clone);
  } catch {
    // whatever the reason, copy the bytes, or fail for the same reason
    const input = source.createReadStream({ highWaterMark, autoClose: false });
    await pipeline(input, createWriteStream(to, { flags: 'wx', highWaterMark }), { signal });
  }
}
