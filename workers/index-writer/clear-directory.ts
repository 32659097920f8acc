import { lstatSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { errnoOf } from '../../src/system/errno.ts';

export type Cleared = { readonly files: number; readonly bytes: number };
export const nothing: Cleared = { files: 0, bytes: 0 };

/**
 * Removes a directory, or only counts it. What another user made and this one may not remove stays.
 *
 * @returns the files that held something, and their bytes.
 */
export function clearDirectory(path: string, dryRun: boolean): Cleared {
  try {
    const sizes = listFiles(path).map((file) => lstatSync(file, { throwIfNoEntry: false })?.size ?? 0);
    if (!dryRun) rmSync(path, { recursive: true, force: true });
    return { files: sizes.filter((size) => size > 0).length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
  } catch (error) {
    if (isRefusal(error)) return nothing;
    throw error;
  }
}

function isRefusal(error: unknown): boolean {
  return ['EACCES', 'EPERM'].includes(errnoOf(error) ?? '');
}

/** Another process may be clearing the same directory. */
function listFiles(path: string): readonly string[] {
  try {
    const entries = readdirSync(path, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}
