import { ImageError } from '../../src/errors.ts';

/**
 * @param path - what is shown for the archive. @param what - completes "cannot read the archive: …".
 */
export function unreadable(path: string, what: string, cause?: unknown): ImageError<'ARCHIVE_UNREADABLE'> {
  return new ImageError('ARCHIVE_UNREADABLE', `cannot read the archive: ${what}`, { path }, { cause });
}

/** @param looksLike - what a person would call it, which is advised upon by that. */
export function unsupported(path: string, looksLike: string): ImageError<'ARCHIVE_UNREADABLE'> {
  return new ImageError('ARCHIVE_UNREADABLE', `cannot read the archive: ${looksLike} is not supported`, {
    path,
    looksLike,
  });
}
