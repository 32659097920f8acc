import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ImageError } from '../errors.ts';
import { type Cause, systemFailure } from '../system/errno.ts';
import { show } from './show.ts';

/** Converts a system error of writing a file to an ImageError; other errors are returned unchanged. */
export function writeError(error: unknown, path: string): unknown {
  const failure = systemFailure(error);
  if (!failure) return error;
  const { errno, cause, what } = failure;
  const shown = show(path);
  switch (cause) {
    case 'absent':
      return new ImageError('FILE_NOT_FOUND', `the directory of ${shown} is not there`, { path }, { cause: error });
    case 'full':
      return new ImageError('STORE_FULL', `no room to write ${shown}: ${what}`, { path }, { cause: error });
    case 'denied':
      return new ImageError('STORE_READ_ONLY', `not allowed to write ${shown}: ${what}`, { path }, { cause: error });
    case 'misplaced':
    case 'path':
    case 'limit':
    case 'failing':
      return new ImageError('FILE_UNREADABLE', `cannot write ${shown}: ${what}`, { path, errno }, { cause: error });
  }
}

/**
 * Converts a system error of reading a file to an ImageError; other errors are returned unchanged.
 *
 * @param what - which file is meant, where what is around the message does not say it.
 */
export function readError(error: unknown, path: string, what?: string): unknown {
  const failure = systemFailure(error);
  if (!failure) return error;
  const { errno } = failure;
  const before = what === undefined ? '' : `${what}: `;
  if (errno === 'ENOENT') return new ImageError('FILE_NOT_FOUND', `${before}no such file`, { path }, { cause: error });
  if (errno === 'ENOTDIR') {
    const message = `${before}no such file: a part of its path is not a directory`;
    return new ImageError('FILE_NOT_FOUND', message, { path }, { cause: error });
  }
  const message = `${before}cannot read the file: ${failure.what}`;
  return new ImageError('FILE_UNREADABLE', message, { path, errno }, { cause: error });
}

/**
 * Makes a private directory for temporary files. @throws FILE_NOT_FOUND, STORE_FULL, STORE_READ_ONLY, FILE_UNREADABLE
 */
export async function makeScratch(name: string): Promise<string> {
  const path = join(tmpdir(), name);
  return mkdtemp(path).catch((error: unknown) => {
    throw writeError(error, path);
  });
}

const storeCodes: Readonly<Record<Cause, 'STORE_CORRUPT' | 'STORE_FULL' | 'STORE_READ_ONLY' | 'FILE_UNREADABLE'>> = {
  absent: 'STORE_CORRUPT',
  misplaced: 'STORE_CORRUPT',
  failing: 'STORE_CORRUPT',
  full: 'STORE_FULL',
  denied: 'STORE_READ_ONLY',
  path: 'FILE_UNREADABLE',
  limit: 'FILE_UNREADABLE',
};

/**
 * Converts a system error about a file of the store to an ImageError. Other errors, and errnos that only a bug causes,
 * are returned unchanged.
 */
export function storeFileError(error: unknown, path: string): unknown {
  const failure = systemFailure(error);
  if (!failure || ['EBADF', 'EEXIST', 'EINVAL'].includes(failure.errno)) return error;
  const { errno, cause, what } = failure;
  return new ImageError(storeCodes[cause], `${show(path, 1024)}: ${what}`, { path, errno }, { cause: error });
}
