import { readdirSync, statSync } from 'node:fs';
import { relative, sep } from 'node:path';

/**
 * Tells which absolute paths are regular files. One listing of `directory` answers for nearly all of the names of a batch,
 * since a file below it can only be there when its first part is.
 */
export function createFileCheck(directory: string): (path: string) => boolean {
  let entries: ReadonlySet<string> | undefined;
  return (path) => {
    entries ??= new Set(list(directory));
    const [first = ''] = relative(directory, path).split(sep);
    if (first !== '..' && !entries.has(first)) return false;
    return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
  };
}

function list(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // a directory that can't be listed offers no files to guess from
  }
}

/** One check for each directory: the lists of a batch may lie in several. */
export function createFileChecks(): (directory: string) => (path: string) => boolean {
  const checks = new Map<string, (path: string) => boolean>();
  return (directory) => {
    const known = checks.get(directory) ?? createFileCheck(directory);
    checks.set(directory, known);
    return known;
  };
}
