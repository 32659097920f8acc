import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import { writeError } from '../image/write-error.ts';
import { errnoOf } from '../store/errno.ts';
import type { StoredImage } from '../store/store.ts';
import { corrupt, requireSound, type ImagesContext } from './check-blob.ts';
import { copyFile } from './copy-file.ts';

export type ExportRequest = {
  readonly image: StoredImage;
  /** Absolute path of the file to make. */
  readonly target: string;
  /** Replaces a file that is there; anything but a regular file never is. */
  readonly overwrite: boolean;
};

/**
 * Writes the uncompressed image to a file of mode 0644. The copy is hashed before it takes its name, so whatever happens
 * the target is the whole, sound image, or what it was before.
 *
 * @throws STORE_CORRUPT when the blob is damaged, USAGE when the target may not be replaced, FILE_NOT_FOUND when its
 * directory is not there, STORE_FULL, STORE_READ_ONLY or FILE_UNREADABLE when it cannot be written.
 */
export async function exportImage(
  context: ImagesContext,
  { image, target, overwrite }: ExportRequest,
  signal: AbortSignal,
): Promise<void> {
  const { store } = context;
  const blob = store.blobPath(image.imageId);
  await refuseTaken(target, overwrite);
  // Short, so that a target with the longest name there is has room for it.
  const temporary = join(dirname(target), `.longshore-${randomBytes(8).toString('hex')}`);
  try {
    await copyFile(blob, temporary, signal);
    await requireSound(context, { image, path: temporary }, signal);
    await settle(temporary);
    await (overwrite ? rename(temporary, target) : publish(temporary, target));
    await syncDirectory(dirname(target));
  } catch (error) {
    if (!(error instanceof Error && 'path' in error && error.path === blob)) throw writeError(error, target);
    throw corrupt(store, image, errnoOf(error) === 'ENOENT' ? 'missing' : 'unreadable');
  } finally {
    await rm(temporary, { force: true });
  }
  store.touch(image.imageId);
}

async function refuseTaken(target: string, overwrite: boolean): Promise<void> {
  const taken = await stat(target).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw writeError(error, target);
  });
  if (!taken) return;
  if (!taken.isFile()) throw new ImageError('USAGE', `${show(target)} is there and is not a regular file`, {});
  if (!overwrite) throw exists(target);
}

function exists(target: string): ImageError {
  return new ImageError('USAGE', `${show(target)} exists; --overwrite replaces it`, { option: 'overwrite' });
}

async function settle(path: string): Promise<void> {
  await using file = await open(path, constants.O_RDONLY);
  await file.chmod(0o644);
  await file.sync();
}

/** Gives the file its name unless the name was taken meanwhile; where there are no hard links, a last look must do. */
async function publish(temporary: string, target: string): Promise<void> {
  try {
    await link(temporary, target);
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') throw exists(target);
    if (!['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'].includes(errnoOf(error) ?? '')) throw error;
    await refuseTaken(target, false);
    await rename(temporary, target);
  }
}

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, constants.O_RDONLY);
  await directory.sync();
}
