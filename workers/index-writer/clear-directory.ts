import { lstatSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

export type Cleared = { readonly files: number; readonly bytes: number };

/** Removes a directory, or only counts it. @returns the files that held something, and their bytes. */
export function clearDirectory(path: string, dryRun: boolean): Cleared {
  let files = 0;
  let bytes = 0;
  for (const entry of listFiles(path)) {
    const size = lstatSync(entry, { throwIfNoEntry: false })?.size ?? 0;
    if (size > 0) files += 1;
    bytes += size;
  }
  if (!dryRun) rmSync(path, { recursive: true, force: true });
  return { files, bytes };
}

/** Another process may be clearing the same directory. */
function listFiles(path: string): readonly string[] {
  try {
    const entries = readdirSync(path, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}
