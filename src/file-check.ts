import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Tells which relative paths are regular files of a directory. One listing answers for nearly all of the names of a batch,
 * since a file can only be there when its first part is.
 */
export function createFileCheck(directory: string): (path: string) => boolean {
  let entries: ReadonlySet<string> | undefined;
  return (path) => {
    entries ??= new Set(list(directory));
    const [first = ''] = path.split('/');
    const isAway = first === '' || first === '.' || first === '..';
    if (!isAway && !entries.has(first)) return false;
    return statSync(join(directory, path), { throwIfNoEntry: false })?.isFile() ?? false;
  };
}

function list(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // a directory that can't be listed offers no files to guess from
  }
}
