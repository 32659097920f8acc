import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { ImageError } from '../errors.ts';
import { errnoOf, isNoEntry } from '../system/errno.ts';
import { readFound, readNamed } from '../system/files.ts';
import { show } from './show.ts';

/** Far above any configuration; a file beyond it is not one. */
const largest = 1024 * 1024;

/** @param what - said of the file, after its name. */
export function configInvalid(path: string, what: string, cause?: unknown): ImageError<'CONFIG_INVALID'> {
  return new ImageError('CONFIG_INVALID', `"${show(path, 1000)}": ${what}`, { path }, { cause });
}

type Reading = {
  readonly maxBytes?: number;
  /** The user named the file, which may be a pipe then. */
  readonly isNamed?: boolean;
};

/** @throws CONFIG_INVALID; where the system is to blame, its error is the cause */
export async function readConfigFile(
  path: string,
  { maxBytes = largest, isNamed = false }: Reading = {},
): Promise<Buffer> {
  const bytes = await (isNamed ? readNamed : readFound)(path, maxBytes).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  if (bytes.length > maxBytes) throw configInvalid(path, `is larger than ${maxBytes} bytes`);
  return bytes;
}

/** Whether that is what readConfigFile said. */
export function isNoRegularFile(error: unknown): boolean {
  return error instanceof Error && /^(?:EFTYPE|EISDIR)$/.test(errnoOf(error.cause) ?? '');
}

type ConfigEntry = { readonly path: string; readonly isDirectory: boolean };

/**
 * What a directory of configuration holds, in the order of the names; undefined where there is none.
 *
 * @param isAbsent - whether an error of the system says so.
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
      .toSorted((one, other) => (one.path < other.path ? -1 : 1));
  } catch (error) {
    if (isAbsent(error)) return undefined;
    if (errnoOf(error) === 'ENOTDIR') throw configInvalid(directory, 'expected to be a directory', error);
    throw unreadable(directory, error);
  }
}

function unreadable(path: string, error: unknown): unknown {
  const errno = errnoOf(error);
  if (errno === undefined) return error;
  const isOther = errno === 'EFTYPE' || errno === 'EISDIR';
  return configInvalid(path, isOther ? 'is no regular file' : `cannot be read: ${errno}`, error);
}
