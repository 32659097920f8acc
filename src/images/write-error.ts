import { ImageError, isImageError } from '../errors.ts';
import { show } from '../image/show.ts';

/** The system's name for a failure, such as ENOENT; undefined for any other error. */
export function errno(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** What kept a file from being written, as an ImageError; what is one already, or no system error, stays as it is. */
export function writeError(error: unknown, path: string): unknown {
  const code = errno(error);
  if (isImageError(error) || code === undefined) return error;
  const shown = show(path);
  switch (code) {
    case 'ENOENT':
      return new ImageError('FILE_NOT_FOUND', `the directory of ${shown} is not there`, { path }, { cause: error });
    case 'ENOSPC':
    case 'EDQUOT':
      return new ImageError('STORE_FULL', `no room to write ${shown} (${code})`, { path }, { cause: error });
    case 'EROFS':
    case 'EACCES':
    case 'EPERM':
      return new ImageError('STORE_READ_ONLY', `not allowed to write ${shown} (${code})`, { path }, { cause: error });
    default:
      return new ImageError('FILE_UNREADABLE', `cannot write ${shown} (${code})`, { path }, { cause: error });
  }
}
