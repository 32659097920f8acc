import { readdirSync, statSync } from 'node:fs';
import { sep } from 'node:path';

/**
 * Tells which absolute paths are regular files. One listing of `directory` answers for nearly all of the names of a batch,
 * since a file below it can only be there when its first part is.
 */
export function createFileCheck(directory: string): (path: string) => boolean {
  const below = directory.endsWith(sep) ? directory : directory + sep;
  let listing: { readonly entries: ReadonlySet<string> | undefined } | undefined;
  return (path) => {
    const { entries } = (listing ??= { entries: list(directory) });
    if (entries && path.startsWith(below) && !entries.has(firstOf(path, below.length))) return false;
    try {
      return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
    } catch {
      return entries !== undefined; // there is something, such as a link to itself: to read it will say what is wrong
    }
  };
}

/** The part of a path that begins at `from`. */
function firstOf(path: string, from: number): string {
  const end = path.indexOf(sep, from);
  return end < 0 ? path.slice(from) : path.slice(from, end);
}

/** @returns undefined for a directory that can be entered at most: each path is looked at then */
function list(directory: string): ReadonlySet<string> | undefined {
  try {
    return new Set(readdirSync(directory));
  } catch {
    return undefined;
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
