import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';

import { show, type AppInput } from '../../index.ts';
import { usageError } from '../options/option.ts';

/** A file that an option says something is written to. */
export type OutputFile = { readonly option: string; readonly path: string };

/** What a run reads, and its store. */
export type RunInputs = {
  /** Paths of lists; `-` is the standard input. */
  readonly lists: readonly string[];
  readonly apps: readonly AppInput[];
  readonly storeDir: string;
};

/**
 * Refuses to write over what the run reads, into the store, or two things into one file. What is no regular file, such as a
 * pipe, loses nothing.
 *
 * @throws USAGE
 */
export async function requireApart(
  outputs: readonly OutputFile[],
  { lists, apps, storeDir }: RunInputs,
): Promise<void> {
  if (outputs.length === 0) return;
  const taken = new Map<string, string>();
  for (const path of lists) if (path !== '-') taken.set((await placeOf(path)) ?? path, 'a list of this run');
  const images = new Set(apps.flatMap(pathsOf));
  const store = await realpath(storeDir).catch(() => resolve(storeDir));
  for (const { option, path } of outputs) {
    const place = await placeOf(path);
    if (place === undefined) continue;
    const isRead = images.has(place) || images.has(resolve(path));
    const what = taken.get(place) ?? (isRead ? 'an image or a signature of this run' : undefined);
    if (what !== undefined) throw usageError(`"${show(path)}" is ${what}`, option);
    if (`${place}${sep}`.startsWith(`${store}${sep}`)) throw usageError(`"${show(path)}" is in the store`, option);
    taken.set(place, `the file of ${option} too`);
  }
}

/** As far as they are files; other texts make paths that nobody writes to. */
function pathsOf({ image, signature, directory = process.cwd() }: AppInput): readonly string[] {
  return [resolve(directory, image), ...(signature === undefined ? [] : [resolve(directory, signature)])];
}

/** Where a file is, or will be, without symlinks; undefined for what is there and no regular file. */
async function placeOf(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found) return found.isFile() ? realpath(path) : undefined;
  const directory = await realpath(dirname(resolve(path))).catch(() => dirname(resolve(path)));
  return join(directory, basename(path));
}
