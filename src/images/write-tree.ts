import { lstat, readdir, realpath, rename, rmdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';

import { ImageError } from '../errors.ts';
import { writeError } from '../image/file-error.ts';
import { show } from '../image/show.ts';
import { errnoOf } from '../system/errno.ts';
import { emptyDirectory, type HeldDirectory, holdDirectory } from '../system/held-directory.ts';
import { withPrivateDirectory } from './private-directory.ts';
import { isWithin } from './write-file.ts';

export type TreeTarget = {
  /** Absolute path of the directory to make. An empty directory may exist there. */
  readonly target: string;
  /** Whether an existing directory may be replaced, with all its content. Anything else never is. */
  readonly overwrite: boolean;
};

/**
 * Makes a directory, which `fill` fills under another name next to the target. It gets its final name when it is
 * complete; only then is the old directory removed. So the target is either the complete new tree or unchanged. If the
 * process is killed in between, the old tree may have the name `.longshore-…-old`. Both directories are used through
 * descriptors, so other users who may write next to the target cannot redirect the work.
 *
 * @param storeDir - the target must be neither inside it nor contain it.
 * @throws USAGE when the target may not be replaced, FILE_NOT_FOUND when its directory does not exist, STORE_FULL,
 * STORE_READ_ONLY or FILE_UNREADABLE when it cannot be written; what `fill` throws.
 */
export async function writeTree<T>(
  storeDir: string,
  { target, overwrite }: TreeTarget,
  fill: (directory: string) => Promise<T>,
): Promise<T> {
  const absolute = resolve(target);
  const [parent, name] = [dirname(absolute), basename(absolute)];
  try {
    await using above = await holdDirectory(parent, { follow: true });
    await checkPlace(storeDir, target, join(await realpath(above.path), name));
    const place = join(above.path, name);
    await refuseTaken(place, target, overwrite);
    await using old = overwrite ? await holdIfThere(place) : undefined;
    const filled = await withPrivateDirectory(above, parent, async ({ inside, itself }) => {
      const result = await fill(inside);
      await (old ? replace(itself, place) : publish(itself, place, target));
      return { result, aside: asideOf(itself) };
    });
    if (old) {
      await emptyDirectory(old);
      await rmdir(filled.aside);
    }
    return filled.result;
  } catch (error) {
    throw writeError(error, target);
  }
}

/** @param place - the path of the target with symlinks above it resolved. */
export async function checkPlace(storeDir: string, target: string, place: string): Promise<void> {
  if (resolve(target) === dirname(resolve(target))) throw refused(target, 'is the root of the filesystem');
  const store = await realpath(storeDir);
  if (isWithin(place, store)) throw refused(target, 'is in the store');
  if (isWithin(store, place)) throw refused(target, 'holds the store');
}

async function refuseTaken(place: string, target: string, overwrite: boolean): Promise<void> {
  const taken = await lstat(place).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (!taken) return;
  if (!taken.isDirectory()) throw refused(target, 'exists and is not a directory');
  if (!overwrite && (await readdir(place)).length > 0) throw exists(target);
}

function refused(path: string, why: string): ImageError {
  return new ImageError('USAGE', `${show(path)} ${why}`, {});
}

function exists(path: string): ImageError {
  return new ImageError('USAGE', `${show(path)} exists; it is replaced only with overwrite`, { option: 'overwrite' });
}

/** A rename replaces an empty directory, but nothing else. */
async function publish(temporary: string, place: string, target: string): Promise<void> {
  try {
    await rename(temporary, place);
  } catch (error) {
    throw ['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(errnoOf(error) ?? '') ? exists(target) : error;
  }
}

/** Opened before it is renamed: afterwards another directory might have its new name. */
async function holdIfThere(place: string): Promise<HeldDirectory | undefined> {
  try {
    return await holdDirectory(place);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** The temporary name of the old tree, until it is removed. */
function asideOf(temporary: string): string {
  return `${temporary}-old`;
}

async function replace(temporary: string, place: string): Promise<void> {
  const aside = asideOf(temporary);
  await rename(place, aside);
  try {
    await rename(temporary, place);
  } catch (error) {
    await rename(aside, place);
    throw error;
  }
}
