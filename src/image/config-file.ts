import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { ImageError } from '../errors.ts';
import { describeErrno, errnoOf, isNoEntry } from '../system/errno.ts';
import { readFound, readNamed } from '../system/files.ts';
import { show } from './show.ts';

/** Far more than any configuration needs: a larger file is refused. */
const defaultMaxBytes = 1024 * 1024;

/** @param what - the part of the message after the file name. */
export function configInvalid(path: string, what: string, cause?: unknown): ImageError<'CONFIG_INVALID'> {
  return new ImageError('CONFIG_INVALID', `"${show(path, 1000)}": ${what}`, { path }, { cause });
}

type Reading = {
  readonly maxBytes?: number;
  /** Whether the user named the file. It may be a pipe then. */
  readonly isNamed?: boolean;
};

/** @throws CONFIG_INVALID; a system error is its cause */
export async function readConfigFile(
  path: string,
  { maxBytes = defaultMaxBytes, isNamed = false }: Reading = {},
): Promise<Buffer> {
  const bytes = await (isNamed ? readNamed : readFound)(path, maxBytes).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  if (bytes.length > maxBytes) throw configInvalid(path, `is larger than ${maxBytes} bytes`);
  return bytes;
}

/** Whether readConfigFile threw this because the path is not a regular file. */
export function isNoRegularFile(error: unknown): boolean {
  return error instanceof Error && /^(?:EFTYPE|EISDIR)$/.test(errnoOf(error.cause) ?? '');
}

type ConfigEntry = { readonly path: string; readonly isDirectory: boolean };

/**
 * Lists a configuration directory in the order of the names; undefined when it does not exist.
 *
 * @param isAbsent - whether a system error means that it does not exist.
 * @throws CONFIG_INVALID
 */
export async function listConfigDirectory(
  directory: string,
  isAbsent = isNoEntry,
): Promise<readonly ConfigEntry[] | undefined> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries
      .map((entry) => ({ path: join(directory, entry.name), isDirectory: entry.isDirectory() }))
      .toSorted((a, b) => (a.path < b.path ? -1 : 1));
  } catch (error) {
    if (isAbsent(error)) return undefined;
    if (errnoOf(error) === 'ENOTDIR') throw configInvalid(directory, 'expected to be a directory', error);
    throw unreadable(directory, error);
  }
}

function unreadable(path: string, error: unknown): unknown {
  const errno = errnoOf(error);
  if (errno === undefined) return error;
  const isNotFile = errno === 'EFTYPE' || errno === 'EISDIR';
  return configInvalid(path, isNotFile ? 'is no regular file' : `cannot be read: ${describeErrno(errno).what}`, error);
}
