import { errnoOf } from '../system/errno.ts';
import { ImageError } from '../errors.ts';
import { show } from './show.ts';

/** What kept a file from being written, as an ImageError; any other than a system error stays as it is. */
export function writeError(error: unknown, path: string): unknown {
  const code = errnoOf(error);
  if (code === undefined) return error;
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
