import type { StoredImage } from '../store/store.ts';
import type { ImagesContext } from './check-blob.ts';
import { extractLayers, type ExtractionReport, type ExtractionRequest } from './extract-layers.ts';

export type ExtractRequest = ExtractionRequest & { readonly image: StoredImage };

/**
 * Writes what is in an image, without its dependencies and whatever its pathWhitelist says, into a directory. The blob is
 * hashed in the same pass: the directory is the whole, sound image, or what it was before.
 *
 * Owners, setuid and devices need root, extended attributes the system's setfattr. Nothing is synced to the disk.
 *
 * @throws STORE_CORRUPT when the blob is damaged, USAGE when the target may not be replaced, FILE_NOT_FOUND when its
 * directory is not there, STORE_FULL, STORE_READ_ONLY or FILE_UNREADABLE when it cannot be written.
 */
export function extractImage(
  context: ImagesContext,
  { image, ...request }: ExtractRequest,
  signal: AbortSignal,
): Promise<ExtractionReport> {
  return extractLayers(context, [{ image, own: [], inherited: [] }], request, signal);
}
