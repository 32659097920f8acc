import { opendirSync } from 'node:fs';
import { mkdir, opendir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

import { errnoOf, isNoEntry } from './errno.ts';

/** The names in a directory, one at a time; none where there is no directory. */
export async function* namesIn(path: string): AsyncGenerator<string> {
  try {
    for await (const { name } of await opendir(path)) yield name;
  } catch (error) {
    if (!isNoEntry(error)) throw error;
  }
}

/** Whether there is such a name in a directory; looks no further than the first. */
export function hasName(path: string, name: RegExp): boolean {
  try {
    using directory = opendirSync(path);
    for (let entry = directory.readSync(); entry; entry = directory.readSync()) if (name.test(entry.name)) return true;
    return false;
  } catch (error) {
    if (isNoEntry(error)) return false;
    throw error;
  }
}

/**
 * Makes what is missing of a path. Node's own way never comes back where the system says that nothing is there whatever is
 * made, as below /proc.
 *
 * @param path - absolute.
 * @returns the first directory that was made, if any. @throws ENOTDIR where something else is in the way
 */
export async function makeDirectories(path: string, mode = 0o777): Promise<string | undefined> {
  try {
    return (await makeOne(path, mode)) ? path : undefined;
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT' || dirname(path) === path) throw error;
  }
  const first = await makeDirectories(dirname(path), mode);
  const isMade = await makeOne(path, mode);
  return first ?? (isMade ? path : undefined);
}

async function makeOne(path: string, mode: number): Promise<boolean> {
  try {
    await mkdir(path, { mode });
    return true;
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    if ((await stat(path)).isDirectory()) return false;
    throw Object.assign(new Error(`ENOTDIR: not a directory, mkdir '${path}'`, { cause: error }), {
      ...{ code: 'ENOTDIR', path, syscall: 'mkdir' },
    });
  }
}
