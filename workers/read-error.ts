import { ImageError } from '../src/errors.ts';
import { systemFailure } from '../src/system/errno.ts';

/** Why a file could not be read, by what the system said; what is no system error stays as it is. */
export function readError(error: unknown, path: string): unknown {
  const failure = systemFailure(error);
  if (!failure) return error;
  const { errno, what } = failure;
  if (errno === 'ENOENT') return new ImageError('FILE_NOT_FOUND', 'no such file', { path }, { cause: error });
  if (errno === 'ENOTDIR') {
    const message = 'no such file: a part of its path is not a directory';
    return new ImageError('FILE_NOT_FOUND', message, { path }, { cause: error });
  }
  return new ImageError('FILE_UNREADABLE', `cannot read the file: ${what}`, { path, errno }, { cause: error });
}

export function fileUnreadable(path: string, what: string, cause?: unknown): ImageError<'FILE_UNREADABLE'> {
  return new ImageError('FILE_UNREADABLE', what, { path }, { cause });
}
