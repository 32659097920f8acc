import {
  type BigIntStats,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  lstatSync,
  openSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';

import { ImageError } from '../../../errors.ts';
import { show } from '../../../image/show.ts';
import { type FileStamp, stampOf } from '../../../system/files.ts';
import { whenFilesAreFreeSync } from '../../../system/spare-files.ts';
import { syncDirectorySync } from '../../../system/write-files.ts';
import type { Layout, MessageOf } from '../protocol.ts';
import type { KnownBlob, RegistryRows } from './registry-rows.ts';
import { discardBlob } from './remove.ts';
import type { Rows } from './rows.ts';
import { withWriteLock } from './transaction.ts';

/** The messages that come with a file. */
export type Placing = MessageOf<'commit'> | MessageOf<'commitBlob'>;

export type GroupContext = {
  readonly db: DatabaseSync;
  readonly layout: Layout;
  readonly rows: Rows;
  readonly registry: RegistryRows;
  /** The name of this process's directory in `tmp`. */
  readonly owner: string;
};

type Target = { readonly directory: string; readonly path: string; readonly size: number };
/**
 * The stamp of a file in its final place. `replaced` when a file was there already, which another tool may have put
 * there.
 */
export type Placed = { readonly stamp: FileStamp; readonly replaced: boolean };

function targetOf({ blobs, registryBlobs }: Layout, message: Placing): Target {
  const [directory, name, size] =
    message.task === 'commit'
      ? [blobs, message.request.image.id, message.request.image.size]
      : [registryBlobs, message.request.digest, message.request.size];
  return { directory, path: join(directory, name), size };
}

/**
 * Renames the files of a group to their final places, and syncs the directories. Files that fail are added to
 * `failures`.
 */
export function placeFiles(
  { layout, registry }: GroupContext,
  messages: readonly Placing[],
  placed: Map<unknown, Placed>,
  failures: Map<unknown, unknown>,
): void {
  const directories = new Set<string>();
  for (const message of messages) {
    const { directory, path, size } = targetOf(layout, message);
    const known = message.task === 'commitBlob' ? registry.blob(message.request.digest) : undefined;
    try {
      const intact = known?.size === size ? intactStamp(path, known) : undefined;
      if (intact) {
        // Images need this file. If the process died before the transaction ends, a new file would count as changed.
        rmSync(message.request.path);
        placed.set(message, { stamp: intact, replaced: true });
        continue;
      }
      const replaced = makeWay(path, layout.dir);
      const stamp = placeBlob(message.request.path, path, { ...message.request.stamp, size });
      placed.set(message, { stamp, replaced });
      directories.add(directory);
    } catch (error) {
      failures.set(message, error);
    }
  }
  for (const directory of directories) syncDirectorySync(directory);
}

/**
 * A directory, link or pipe in the place of a blob is not ours to remove: it is renamed into the store's directory.
 *
 * @returns whether anything was there.
 */
function makeWay(path: string, dir: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat && !stat.isFile()) renameSync(path, join(dir, `${basename(path)}.damaged-${Date.now()}`));
  return stat !== undefined;
}

/** Removes the file of a failed commit where it was made; gc removes what cannot be removed now. */
export function removeFile({ request: { path } }: Placing): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // The caller gets the error of the commit instead.
  }
}

/** Removes the file of a failed commit from its final place, if it was brought there. */
export function giveBack(
  { db, layout, rows, registry }: GroupContext,
  message: Placing,
  placed: Placed | undefined,
): void {
  try {
    if (message.task === 'commit') discardBlob(db, rows, layout.blobs, message.request.image.id);
    else if (placed?.replaced === false) {
      withWriteLock(db, () => {
        const { path } = targetOf(layout, message);
        if (!registry.blob(message.request.digest)) rmSync(path, { force: true });
      });
    }
  } catch {
    // The caller gets the error of the commit instead.
  }
}

const blobMode = 0o444;

/** The stamp of a file if it is the one that the index recorded, else undefined. */
export function intactStamp(path: string, known: KnownBlob): FileStamp | undefined {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return isSame(stat, known) ? stampOf(stat) : undefined;
}

function isSame(stat: BigIntStats | undefined, { size, mtimeNs, ctimeNs, inode }: KnownBlob): stat is BigIntStats {
  if (!stat?.isFile() || stat.size !== BigInt(size)) return false;
  return stat.mtimeNs === mtimeNs && stat.ctimeNs === ctimeNs && stat.ino === inode;
}

/**
 * Renames the verified file to its final place. A file that is there already is replaced, since it may be damaged;
 * processes that have it open keep reading it.
 *
 * @param known - of the descriptor that was hashed.
 * @returns the new stamp: a rename changes the ctime.
 * @throws STORE_CORRUPT when the file is not the one that was hashed.
 */
function placeBlob(from: string, to: string, known: KnownBlob): FileStamp {
  const stat = lstatSync(from, { bigint: true });
  if (!isSame(stat, known)) throw isAnother(from, known);
  if ((Number(stat.mode) & 0o777) !== blobMode) makeReadOnly(from, stat.ino);
  renameSync(from, to);
  const placed = lstatSync(to, { bigint: true });
  if (placed.ino !== stat.ino) throw isAnother(to, known);
  return stampOf(placed);
}

/** Uses a descriptor: a link that is put there meanwhile has no effect. */
function makeReadOnly(path: string, inode: bigint): void {
  const file = whenFilesAreFreeSync(() =>
    openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK),
  );
  try {
    if (fstatSync(file, { bigint: true }).ino === inode) fchmodSync(file, blobMode);
  } finally {
    closeSync(file);
  }
}

function isAnother(path: string, { size }: KnownBlob): ImageError<'STORE_CORRUPT'> {
  const message = `${show(path, 1024)} is not the file of ${size} bytes that was verified`;
  return new ImageError('STORE_CORRUPT', message, { path });
}
