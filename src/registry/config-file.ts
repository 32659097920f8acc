import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { errnoOf, isNoEntry } from '../system/errno.ts';
import { readFound } from '../system/files.ts';
import { configInvalid } from './credentials/config-invalid.ts';

/** Far above any such file. */
const maxBytes = 1024 * 1024;

/**
 * The paths of what a configuration directory holds, in the order of their names; undefined where there is none.
 *
 * @throws ImageError CONFIG_INVALID
 */
export async function listDirectory(directory: string): Promise<readonly string[] | undefined> {
  try {
    const names = await readdir(directory);
    return names.toSorted().map((name) => join(directory, name));
  } catch (error) {
    if (isNoEntry(error)) return undefined;
    throw unreadable(directory, error);
  }
}

/** @throws ImageError CONFIG_INVALID */
export async function readConfigFile(path: string): Promise<string> {
  try {
    const bytes = await readFound(path, maxBytes);
    if (bytes.length <= maxBytes) return bytes.toString();
  } catch (error) {
    if (['EFTYPE', 'EISDIR'].includes(errnoOf(error) ?? '')) throw configInvalid(path, 'is no regular file', error);
    throw unreadable(path, error);
  }
  throw configInvalid(path, `is larger than ${maxBytes} bytes`);
}

function unreadable(path: string, error: unknown): Error {
  return configInvalid(path, `cannot be read: ${errnoOf(error) ?? 'unknown'}`, error);
}
