import { constants } from 'node:fs';
import { link, open, realpath, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';

import { ImageError } from '../errors.ts';
import { writeError } from '../image/file-error.ts';
import { show } from '../image/show.ts';
import { errnoOf, hasNoLinks } from '../system/errno.ts';
import { holdDirectory } from '../system/held-directory.ts';
import { syncDirectory } from '../system/write-files.ts';
import { withWorkDirectory } from './private-directory.ts';

export type FileTarget = {
  /** Absolute path of the file to make. */
  readonly target: string;
  /** Whether an existing regular file may be replaced. Anything else never is. */
  readonly overwrite: boolean;
  /** A directory that must not contain the target: the store. */
  readonly outside?: string;
};

/**
 * Makes a file of mode 0644. `fill` writes it in a private directory next to the target, at a path that does not exist.
 * It gets its final name when it is complete and synced, so the target is either the complete new file or unchanged.
 *
 * @throws USAGE when the target may not be replaced, FILE_NOT_FOUND when its directory does not exist, STORE_FULL,
 * STORE_READ_ONLY or FILE_UNREADABLE when it cannot be written; what `fill` throws.
 */
export async function writeFileTarget(
  { target, overwrite, outside }: FileTarget,
  fill: (temporary: string) => Promise<void>,
): Promise<void> {
  const [parent, name] = [dirname(target), basename(target)];
  await refuseTaken(target, target, overwrite);
  try {
    await using above = await holdDirectory(parent, { follow: true });
    if (outside !== undefined && isWithin(await realpath(above.path), await realpath(outside)))
      throw new ImageError('USAGE', `${show(target)} is in the store`, {});
    await withWorkDirectory(above, parent, async ({ inside }) => {
      const temporary = join(inside, 'file');
      const place = join(above.path, name);
      await fill(temporary);
      await settleFile(temporary);
      await (overwrite ? rename(temporary, place) : publish(temporary, place, target));
    });
    await syncDirectory(above.path);
  } catch (error) {
    throw writeError(error, target);
  }
}

/** Both paths must be free of symlinks. */
export function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory + sep);
}

/** Sets mode 0644 whatever the umask, and syncs the file. */
export async function settleFile(path: string): Promise<void> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  await file.chmod(0o644);
  await file.sync();
}

async function refuseTaken(place: string, target: string, overwrite: boolean): Promise<void> {
  const taken = await stat(place).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw writeError(error, target);
  });
  if (!taken) return;
  if (!taken.isFile()) throw new ImageError('USAGE', `${show(target)} exists and is not a regular file`, {});
  if (!overwrite) throw exists(target);
}

function exists(target: string): ImageError {
  return new ImageError('USAGE', `${show(target)} exists; it is replaced only with overwrite`, { option: 'overwrite' });
}

/**
 * Renames the file unless the target exists by now. Where there are no hard links, that is checked right before the
 * rename.
 */
async function publish(temporary: string, place: string, target: string): Promise<void> {
  try {
    await link(temporary, place);
    await unlink(temporary);
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') throw exists(target);
    if (!hasNoLinks(error)) throw error;
    await refuseTaken(place, target, false);
    await rename(temporary, place);
  }
}
