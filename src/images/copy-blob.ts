import { errnoOf } from '../system/errno.ts';
import { blobPathOf, corrupt, requireSound, type Blob, type ImagesContext } from './check-blob.ts';
import { copyFile } from './copy-file.ts';

/** Copies a blob to a file that must not be there, and hashes the copy. @throws STORE_CORRUPT; system errors of `to` */
export async function copyBlob(
  context: ImagesContext,
  { id, size, to }: Blob & { readonly to: string },
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
