import { errnoOf } from '../src/system/errno.ts';
import { ImageError } from '../src/errors.ts';

/** Why a file could not be read, by what the system said; what is no system error stays as it is. */
export function readError(error: unknown, path: string): unknown {
  const code = errnoOf(error);
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new ImageError('FILE_NOT_FOUND', 'no such file', { path }, { cause: error });
    case 'EACCES':
    case 'EPERM':
      return fileUnreadable(path, 'not allowed to read the file', error);
    default:
      return code !== undefined ? fileUnreadable(path, `cannot read the file (${code})`, error) : error;
  }
}

export function fileUnreadable(path: string, what: string, cause?: unknown): ImageError<'FILE_UNREADABLE'> {
  return new ImageError('FILE_UNREADABLE', what, { path }, { cause });
}
