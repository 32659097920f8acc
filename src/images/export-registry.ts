import { createWriteStream } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Writable } from 'node:stream';

import type { RegistryImage } from '../store/registry-store.ts';
import type { ImagesContext } from './check-blob.ts';
import { copyBlob } from './copy-blob.ts';
import { inParallel } from './in-parallel.ts';
import { registryLayout, type LayoutFile, type RegistryFormat } from './registry-layout.ts';
import { hashBlob } from './sound-blob.ts';
import { settleFile, writeFileTarget, type FileTarget } from './write-file.ts';
import { writeTar, type TarFile } from './write-tar.ts';
import { writeTree, type TreeTarget } from './write-tree.ts';

export type RegistryExport = { readonly image: RegistryImage; readonly format: RegistryFormat };

/** Blobs read at once. */
const width = 4;

/**
 * Writes an image of a registry to a tar: an OCI archive, or what `docker load` takes. Every blob is hashed before it is
 * written, so whatever happens the target is the whole, sound image, or what it was before.
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
    const output = createWriteStream(temporary, { flags: 'wx', highWaterMark: 1024 * 1024 });
    await writeTar(context.store, { files, output, end: true }, signal);
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
  await writeTar(context.store, { files, output, end: false }, signal);
}

/** Writes an image of a registry as an OCI image layout that holds nothing else. @throws STORE_CORRUPT; as writeTree */
export async function exportRegistryImageToDirectory(
  context: ImagesContext,
  { image, ...target }: Pick<RegistryExport, 'image'> & TreeTarget,
  signal: AbortSignal,
): Promise<void> {
  await writeTree(context.store.dir, target, async (directory) => {
    const place = async ({ name, content }: LayoutFile): Promise<void> => {
      const to = join(directory, name);
      await mkdir(dirname(to), { recursive: true, mode: 0o755 });
      if (content instanceof Uint8Array) await writeFile(to, content, { flag: 'wx' });
      else await copyBlob(context, { ...content, to }, signal);
      await settleFile(to);
    };
    await inParallel(await registryLayout(context.store, image, 'oci'), width, place, signal);
    await chmod(directory, 0o755);
  });
  context.store.touchRegistryImage(image.reference);
}

/** The files of the layout, every blob hashed. */
async function soundFiles(
  context: ImagesContext,
  { image, format }: RegistryExport,
  signal: AbortSignal,
): Promise<readonly TarFile[]> {
  const files: TarFile[] = [];
  const check = async ({ name, content }: LayoutFile, position: number): Promise<void> => {
    files[position] = {
      name,
      content: content instanceof Uint8Array ? content : await hashBlob(context, content, signal),
    };
  };
  await inParallel(await registryLayout(context.store, image, format), width, check, signal);
  return files;
}
