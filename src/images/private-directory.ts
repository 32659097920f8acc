import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rmdir, stat } from 'node:fs/promises';

import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import { errnoOf } from '../system/errno.ts';
import {
  answerIn,
  emptyDirectory,
  type HeldDirectory,
  holdDirectory,
  removeLeftovers,
} from '../system/held-directory.ts';

/** A directory that only this user may enter, and its parent. Other users cannot exchange what these paths refer to. */
export type PrivateDirectory = {
  /** The path of the directory itself, through its descriptor. */
  readonly inside: string;
  /** The path of its entry in the parent, to rename it. */
  readonly itself: string;
  /** The path of the parent directory. */
  readonly above: string;
};

/**
 * Makes a directory in which `work` creates something, and from which it renames the result into `above`. When `work`
 * fails, the content is removed.
 *
 * @param shown - the path of the parent, for errors.
 * @throws FILE_UNREADABLE when another user may have replaced the directory; system errors
 */
export async function withPrivateDirectory<T>(
  above: HeldDirectory,
  shown: string,
  work: (directory: PrivateDirectory) => Promise<T>,
): Promise<T> {
  const itself = `${above.path}/.longshore-${randomBytes(8).toString('hex')}`;
  await mkdir(itself, { mode: 0o700 });
  try {
    await using own = await holdDirectory(itself);
    await requireOwn(above, own, shown);
    try {
      return await work({ inside: own.path, itself, above: above.path });
    } catch (error) {
      await emptyDirectory(own);
      throw error;
    }
  } finally {
    await removeIfThere(itself);
  }
}

/**
 * As withPrivateDirectory, for work that leaves the directory where it is. What processes that were killed have left in `above` is removed
 * first: while one lives, a socket in its directory answers.
 */
export async function withWorkDirectory<T>(
  above: HeldDirectory,
  shown: string,
  work: (directory: PrivateDirectory) => Promise<T>,
): Promise<T> {
  await removeLeftovers(above, /^\.longshore-[\da-f]{16}$/);
  return withPrivateDirectory(above, shown, async (directory) => {
    await using _presence = await answerIn(directory.inside);
    return await work(directory);
  });
}

/**
 * Where other users may rename our directory, the one that was opened may be another one. It is accepted if it could
 * have been made by us just now.
 */
async function requireOwn(above: HeldDirectory, own: HeldDirectory, shown: string): Promise<void> {
  if (!mayOthersRename(await stat(above.path))) return;
  const { uid, mode } = await stat(own.path);
  const isAsMade = uid === process.geteuid?.() && (mode & 0o077) === 0 && (await readdir(own.path)).length === 0;
  if (own.isHeld && isAsMade) return;
  const message = `other users may rename what is in ${show(shown)}: choose a directory that only you can write`;
  throw new ImageError('FILE_UNREADABLE', message, { path: shown });
}

/**
 * Unless the sticky bit is set, users who may write to a directory may rename the entries of others. Its owner always
 * may.
 */
function mayOthersRename({ uid, mode }: { readonly uid: number; readonly mode: number }): boolean {
  return (uid !== 0 && uid !== process.geteuid?.()) || ((mode & 0o022) !== 0 && (mode & 0o1000) === 0);
}

/** Ignores that it was renamed, by us or by another user. */
async function removeIfThere(path: string): Promise<void> {
  try {
    await rmdir(path);
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR', 'ENOTEMPTY', 'EEXIST'].includes(errnoOf(error) ?? '')) throw error;
  }
}
