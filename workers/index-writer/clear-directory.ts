import { lstatSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { errnoOf } from '../../src/system/errno.ts';

/** Files that held something, their bytes, and paths that could not be removed. */
export type Cleared = { readonly files: number; readonly bytes: number; readonly left: readonly string[] };
export const nothing: Cleared = { files: 0, bytes: 0, left: [] };

/** Removes a directory, or what is in its place, or only counts it. No link is followed. What cannot be removed stays. */
export function clearDirectory(path: string, dryRun: boolean): Cleared {
  try {
    const sizes = listFiles(path).map((file) => lstatSync(file, { throwIfNoEntry: false })?.size ?? 0);
    if (!dryRun) rmSync(path, { recursive: true, force: true });
    return {
      files: sizes.filter((size) => size > 0).length,
      bytes: sizes.reduce((sum, size) => sum + size, 0),
      left: [],
    };
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return { ...nothing, left: [path] };
  }
}

/** Another process may be clearing the same directory. */
function listFiles(path: string): readonly string[] {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat?.isDirectory()) return stat?.isFile() ? [path] : [];
  try {
    const entries = readdirSync(path, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}
