import type { StoredImage } from '../store/store.ts';
import type { ImagesContext } from './check-blob.ts';
import { copyBlob } from './copy-blob.ts';
import { writeFileTarget, type FileTarget } from './write-file.ts';

export type ExportRequest = FileTarget & { readonly image: StoredImage };

/**
 * Writes the uncompressed image to a file. The copy is hashed before it takes its name, so whatever happens the target is
 * the whole, sound image, or what it was before.
 *
 * @throws STORE_CORRUPT when the blob is damaged; as writeFileTarget
 */
export async function exportImage(
  context: ImagesContext,
  { image, ...target }: ExportRequest,
  signal: AbortSignal,
): Promise<void> {
  const { imageId: id, size } = image;
  await writeFileTarget({ ...target, outside: context.store.dir }, (to) => copyBlob(context, { id, size, to }, signal));
  context.store.touch(id);
}
