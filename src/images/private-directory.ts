import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rmdir, stat } from 'node:fs/promises';

import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import { errnoOf } from '../system/errno.ts';
import { emptyDirectory, holdDirectory, type HeldDirectory } from '../system/held-directory.ts';

/** A directory that only this user may enter, and the one that it lies in. Others cannot exchange what these paths lead to. */
export type PrivateDirectory = {
  /** The path of the directory itself. */
  readonly inside: string;
  /** Its path by name, for renaming it. */
  readonly itself: string;
  /** The path of the directory above. */
  readonly above: string;
};

/**
 * Makes a directory in which to make what shall take its place in `above` once it is complete. When `work` fails, what it
 * made is removed.
 *
 * @param shown - the directory above, in errors.
 * @throws FILE_UNREADABLE when other users may have got between; system errors
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

/** Where others may rename our directory, what was opened may be another one: it must be as good as a new one of ours. */
async function requireOwn(above: HeldDirectory, own: HeldDirectory, shown: string): Promise<void> {
  if (!mayOthersRename(await stat(above.path))) return;
  const { uid, mode } = await stat(own.path);
  const isAsMade = uid === process.geteuid?.() && (mode & 0o077) === 0 && (await readdir(own.path)).length === 0;
  if (own.isHeld && isAsMade) return;
  const message = `other users may rename what is in ${show(shown)}: choose a directory that only you can write`;
  throw new ImageError('FILE_UNREADABLE', message, { path: shown });
}

/** Unless the sticky bit is set, who may write a directory may rename what others have in it; its owner always may. */
function mayOthersRename({ uid, mode }: { readonly uid: number; readonly mode: number }): boolean {
  return (uid !== 0 && uid !== process.geteuid?.()) || ((mode & 0o022) !== 0 && (mode & 0o1000) === 0);
}

/** It may have taken its new name, or bear another one that somebody gave it. */
async function removeIfThere(path: string): Promise<void> {
  try {
    await rmdir(path);
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR', 'ENOTEMPTY', 'EEXIST'].includes(errnoOf(error) ?? '')) throw error;
  }
}
