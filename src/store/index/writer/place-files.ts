import {
  lstatSync,
  renameSync,
  rmSync,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  openSync,
  type BigIntStats,
} from 'node:fs';
import { basename, join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';

import { type FileStamp, stampOf } from '../../../system/files.ts';
import { discardBlob } from './remove.ts';
import type { Layout, MessageOf } from '../protocol.ts';
import type { RegistryRows } from './registry-rows.ts';
import type { Rows } from './rows.ts';
import { withWriteLock } from './transaction.ts';
import { ImageError } from '../../../errors.ts';
import { show } from '../../../image/show.ts';
import { whenFilesAreFreeSync } from '../../../system/spare-files.ts';

/** Those that bring a file. */
export type Placing = MessageOf<'commit'> | MessageOf<'commitBlob'>;

export type GroupContext = {
  readonly db: DatabaseSync;
  readonly layout: Layout;
  readonly rows: Rows;
  readonly registry: RegistryRows;
  /** The name of this process. */
  readonly owner: string;
};

type Target = { readonly directory: string; readonly path: string; readonly size: number };
/** Where a file lies now; `replaced` when there was one already, which another tool may have put there. */
export type Placed = { readonly stamp: FileStamp; readonly replaced: boolean };

function targetOf({ blobs, registryBlobs }: Layout, message: Placing): Target {
  const [directory, name, size] =
    message.task === 'commit'
      ? [blobs, message.request.image.id, message.request.image.size]
      : [registryBlobs, message.request.digest, message.request.size];
  return { directory, path: join(directory, name), size };
}

/** Puts the files of a group in their places, and syncs the names. What fails by itself goes to `failures`. */
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
        // Images are made of it: after a kill before the end of the transaction another file would pass for changed.
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
  for (const directory of directories) syncDirectory(directory);
}

/**
 * A directory, a link or a pipe in the place of a blob is not ours to remove: it goes into the directory of the store.
 *
 * @returns whether there was anything.
 */
function makeWay(path: string, dir: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat && !stat.isFile()) renameSync(path, join(dir, `${basename(path)}.damaged-${Date.now()}`));
  return stat !== undefined;
}

/** Gives the space of a failed commit back; what can't be removed now is left to gc. */
export function giveBack(
  { db, layout, rows, registry }: GroupContext,
  message: Placing,
  placed: Placed | undefined,
): void {
  try {
    rmSync(message.request.path, { force: true });
    if (message.task === 'commit') discardBlob(db, rows, layout.blobs, message.request.image.id);
    else if (placed?.replaced === false) {
      withWriteLock(db, () => {
        const { path } = targetOf(layout, message);
        if (!registry.blob(message.request.digest)) rmSync(path, { force: true });
      });
    }
  } catch {
    // The failure of the commit is what the caller must hear.
  }
}

const blobMode = 0o444;

/** A blob before it was remembered when its file last changed has no ctime: it has to be hashed first. */
export type KnownBlob = { readonly [F in keyof FileStamp]: FileStamp[F] | null } & { readonly size: number };

/** The stamp of a file that is the one that the index remembers; undefined for any other. */
export function intactStamp(path: string, known: KnownBlob): FileStamp | undefined {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return isSame(stat, known) ? stampOf(stat) : undefined;
}

function isSame(stat: BigIntStats | undefined, { size, mtimeNs, ctimeNs, inode }: KnownBlob): stat is BigIntStats {
  if (!stat?.isFile() || stat.size !== BigInt(size)) return false;
  return stat.mtimeNs === mtimeNs && stat.ctimeNs === ctimeNs && stat.ino === inode;
}

/**
 * Puts the very file that was verified in its place. What is there already is replaced: it may be damaged, the new one is not;
 * who reads the old one reads on.
 *
 * @param known - of the descriptor that was hashed.
 * @returns the stamp in its place: to rename a file changes its ctime.
 * @throws STORE_CORRUPT when another file lies there now.
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

/** By its descriptor: a link that somebody puts there now leads nowhere. */
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

export function syncDirectory(path: string): void {
  const directory = whenFilesAreFreeSync(() => openSync(path, 'r'));
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
