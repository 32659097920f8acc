import { ImageError, isImageError } from '../../src/errors.ts';

/** What went wrong in a layer, with its digest where that is not said yet. */
export function inLayer(digest: string, error: unknown): unknown {
  if (!isImageError(error) || !error.code.startsWith('ARCHIVE_')) return error;
  return new ImageError(error.code, `layer ${digest}: ${error.message}`, error.details, { cause: error });
}
