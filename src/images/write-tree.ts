import { randomBytes } from 'node:crypto';
import { lstat, mkdir, readdir, realpath, rename } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';

import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import { writeError } from '../image/write-error.ts';
import { errnoOf } from '../system/errno.ts';
import { removeTree } from './remove-tree.ts';

export type TreeTarget = {
  /** Absolute path of the directory to make; an empty one may be there. */
  readonly target: string;
  /** Replaces a directory that is there with all that is in it; anything else never is. */
  readonly overwrite: boolean;
};

/**
 * Makes a directory that `fill` fills under another name beside it. It takes its own name when it is complete, and only
 * then does an old one go: whatever happens, the target is the whole new tree or what it was before. Ended by force in
 * between, the old tree may still bear the name `.longshore-…-old`.
 *
 * @param storeDir - the target may neither be in it nor above it.
 * @throws USAGE when the target may not be replaced, FILE_NOT_FOUND when its directory is not there, STORE_FULL,
 * STORE_READ_ONLY or FILE_UNREADABLE when it cannot be written; what `fill` throws.
 */
export async function writeTree<T>(
  storeDir: string,
  { target, overwrite }: TreeTarget,
  fill: (directory: string) => Promise<T>,
): Promise<T> {
  try {
    const place = await checkPlace(storeDir, target);
    await refuseTaken(place, overwrite);
    const temporary = join(dirname(place), `.longshore-${randomBytes(8).toString('hex')}`);
    try {
      await mkdir(temporary, { mode: 0o700 });
      const result = await fill(temporary);
      await (overwrite ? replace(temporary, place) : publish(temporary, place));
      return result;
    } finally {
      await removeTree(temporary);
    }
  } catch (error) {
    throw writeError(error, target);
  }
}

/** @returns the path that the target has once no directory above it is a symlink. */
async function checkPlace(storeDir: string, target: string): Promise<string> {
  const absolute = resolve(target);
  const place = join(await realpath(dirname(absolute)), basename(absolute));
  if (place === dirname(place)) throw refused(target, 'is the root of the filesystem');
  const store = await realpath(storeDir);
  if (isWithin(place, store)) throw refused(target, 'is in the store');
  if (isWithin(store, place)) throw refused(target, 'holds the store');
  return place;
}

function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory + sep);
}

async function refuseTaken(place: string, overwrite: boolean): Promise<void> {
  const taken = await lstat(place).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (!taken) return;
  if (!taken.isDirectory()) throw refused(place, 'is there and is not a directory');
  if (!overwrite && (await readdir(place)).length > 0) throw exists(place);
}

function refused(path: string, why: string): ImageError {
  return new ImageError('USAGE', `${show(path)} ${why}`, {});
}

function exists(path: string): ImageError {
  return new ImageError('USAGE', `${show(path)} exists; --overwrite replaces it`, { option: 'overwrite' });
}

/** A rename replaces an empty directory and nothing else. */
async function publish(temporary: string, place: string): Promise<void> {
  try {
    await rename(temporary, place);
  } catch (error) {
    throw ['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(errnoOf(error) ?? '') ? exists(place) : error;
  }
}

async function replace(temporary: string, place: string): Promise<void> {
  const old = `${temporary}-old`;
  const isThere = await rename(place, old).then(
    () => true,
    (error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return false;
      throw error;
    },
  );
  try {
    await rename(temporary, place);
  } catch (error) {
    if (isThere) await rename(old, place);
    throw error;
  }
  if (isThere) await removeTree(old);
}
