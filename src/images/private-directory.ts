import { randomBytes } from 'node:crypto';
import { mkdir, opendir, readdir, readFile, rmdir, stat } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';

import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import { errnoOf, systemFailure } from '../system/errno.ts';
import { emptyDirectory, type HeldDirectory, holdDirectory } from '../system/held-directory.ts';

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
  const socket = await socketName();
  if (socket !== undefined) await removeLeftovers(above, socket);
  return withPrivateDirectory(above, shown, async (directory) => {
    await using _presence = socket === undefined ? undefined : await answerAt(`${directory.inside}/${socket}`);
    return await work(directory);
  });
}

/** Names the boot, since another machine that has the file system too could not reach the socket; undefined where that is not known. */
async function socketName(): Promise<string | undefined> {
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'latin1').catch(() => '');
  return /^[\da-f-]{36}\n$/.test(boot) ? `alive-${boot.trimEnd()}` : undefined;
}

/** Listens until it is disposed of. Not every file system takes a socket: then nothing answers, and nothing is there to be asked. */
async function answerAt(path: string): Promise<AsyncDisposable> {
  const server = createServer((socket: Socket) => void socket.destroy());
  server.unref();
  const listens = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(path, () => resolve(true));
  });
  return {
    [Symbol.asyncDispose]: () => new Promise((resolve) => (listens ? server.close(() => resolve()) : resolve())),
  };
}

/** Leaves what it may not remove, or not even read. */
async function removeLeftovers(above: HeldDirectory, socket: string): Promise<void> {
  try {
    for await (const entry of await opendir(above.path)) {
      if (entry.isDirectory() && /^\.longshore-[\da-f]{16}$/.test(entry.name))
        await removeLeftover(`${above.path}/${entry.name}`, socket);
    }
  } catch (error) {
    if (!systemFailure(error)) throw error;
  }
}

async function removeLeftover(path: string, socket: string): Promise<void> {
  {
    await using left = await holdDirectory(path);
    const { uid } = await stat(left.path);
    if (uid !== process.geteuid?.() || !(await isDead(`${left.path}/${socket}`))) return;
    await emptyDirectory(left);
  }
  await rmdir(path);
}

/** Whether a process has listened at the socket, and has ended. */
function isDead(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', (error) => resolve(errnoOf(error) === 'ECONNREFUSED'));
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
