import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';

import { type AppInput, show } from '../../internal.ts';
import { splitListType } from '../../lists/read-list.ts';
import { usageError } from '../options/option.ts';

/** A file to write, and the option that named it. */
export type OutputFile = { readonly option: string; readonly path: string };

/** The files that a run reads, and its store. */
export type RunInputs = {
  /** The values of -f. */
  readonly lists: readonly string[];
  readonly apps: readonly AppInput[];
  readonly storeDir: string;
};

/**
 * Refuses outputs that would overwrite an input, are in the store, or share one file. Paths that are no regular files,
 * such as pipes, are allowed.
 *
 * @throws USAGE
 */
export async function requireApart(
  outputs: readonly OutputFile[],
  { lists, apps, storeDir }: RunInputs,
): Promise<void> {
  if (outputs.length === 0) return;
  const taken = new Map<string, string>();
  for (const list of lists) {
    const { path } = splitListType(list);
    if (path !== '-') taken.set((await placeOf(path)) ?? path, 'a list of this run');
  }
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

/** The paths of a request, if it is a file. Other texts give paths that nobody writes to. */
function pathsOf({ image, signature, directory = process.cwd() }: AppInput): readonly string[] {
  return [resolve(directory, image), ...(signature === undefined ? [] : [resolve(directory, signature)])];
}

/** The path of a file that exists or will exist, without symlinks; undefined when it exists and is no regular file. */
async function placeOf(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found) return found.isFile() ? realpath(path) : undefined;
  const directory = await realpath(dirname(resolve(path))).catch(() => dirname(resolve(path)));
  return join(directory, basename(path));
}
