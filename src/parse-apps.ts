import { readdirSync, statSync } from 'node:fs';
import { resolve, sep } from 'node:path';

import type { BatchRequest } from './coordinator/walk.ts';
import { asImageError } from './errors.ts';
import type { AppInput } from './image/apps.ts';
import { parseReference, referenceKey } from './image/reference.ts';

/** Parses apps into requests of a batch. Relative paths are resolved against the app's directory, or else the working directory. */
export function parseApps(apps: readonly AppInput[]): readonly BatchRequest[] {
  const workingDirectory = process.cwd();
  const checkIn = createFileChecks();
  return apps.map(({ image: text, type = 'guess', signature: path, directory = workingDirectory }, index) => {
    try {
      const reference = parseReference(text, { type, directory, isFile: checkIn(directory) });
      const signature = path === undefined ? undefined : resolve(directory, path);
      const key = referenceKey(reference) + (signature === undefined ? '' : ` ${signature}`);
      return { index, text, key, signature, reference };
    } catch (error) {
      return { index, text, error: asImageError(error) };
    }
  });
}

/**
 * Returns a function that checks whether an absolute path is a regular file. One listing of `directory` is enough for most names of
 * a batch: a path below it cannot exist if its first part does not.
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
      return entries !== undefined; // something exists, such as a symlink to itself: reading it will report the error
    }
  };
}

/** The part of a path from `from` to the next separator. */
function firstOf(path: string, from: number): string {
  const end = path.indexOf(sep, from);
  return end < 0 ? path.slice(from) : path.slice(from, end);
}

/** @returns undefined if the directory cannot be listed: then each path is checked */
function list(directory: string): ReadonlySet<string> | undefined {
  try {
    return new Set(readdirSync(directory));
  } catch {
    return undefined;
  }
}

/** Keeps one check for each directory, since the lists of a batch may be in several. */
export function createFileChecks(): (directory: string) => (path: string) => boolean {
  const checks = new Map<string, (path: string) => boolean>();
  return (directory) => {
    const known = checks.get(directory) ?? createFileCheck(directory);
    checks.set(directory, known);
    return known;
  };
}
