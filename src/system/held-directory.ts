import { closeSync, constants, openSync, readlinkSync } from 'node:fs';
import { chmod, open, opendir, readdir, readFile, rename, rmdir, stat, unlink } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';

import { errnoOf, systemFailure } from './errno.ts';

/** Opens a path without permission to read it. Linux has this flag, Node has no constant for it. @see open(2) */
const O_PATH = 0o10000000;

/** A directory that is held open, so that its path cannot be redirected by renaming or replacing it. */
export type HeldDirectory = AsyncDisposable & {
  /** A path to the open directory, valid in child processes too. */
  readonly path: string;
  /** False without /proc: then `path` is the path that was given. */
  readonly isHeld: boolean;
  /** Changes the mode, also if the present one does not permit to enter the directory. */
  setMode(mode: number): Promise<void>;
};

/** The directory with the descriptors of this process; undefined without a `/proc` for its PID namespace. */
const descriptors = ownDescriptors();

function ownDescriptors(): string | undefined {
  try {
    return readlinkSync('/proc/self') === String(process.pid) ? `/proc/${process.pid}/fd` : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Opens a directory to work in it.
 *
 * @param follow - whether the last part of the path may be a symlink.
 * @throws ENOTDIR for anything else, for a symlink too unless `follow`.
 */
export async function holdDirectory(path: string | Buffer, { follow = false } = {}): Promise<HeldDirectory> {
  const directory = await open(path, O_PATH | constants.O_DIRECTORY | (follow ? 0 : constants.O_NOFOLLOW));
  const link = descriptors === undefined ? String(path) : `${descriptors}/${directory.fd}`;
  return {
    path: `${link}/.`, // "/." so that calls that do not follow a final symlink reach the directory
    isHeld: descriptors !== undefined,
    setMode: (mode) => chmod(link, mode),
    [Symbol.asyncDispose]: () => directory.close(),
  };
}

/** As holdDirectory, but synchronous; no symlink is followed. */
export function holdDirectorySync(path: string): Disposable & Pick<HeldDirectory, 'path' | 'setMode'> {
  const directory = openSync(path, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  const link = descriptors === undefined ? path : `${descriptors}/${directory}`;
  return {
    path: `${link}/.`,
    setMode: (mode) => chmod(link, mode),
    [Symbol.dispose]: () => closeSync(directory),
  };
}

/** Removes a path if it exists: a directory with its content, or anything else. */
export async function removePath(path: string): Promise<void> {
  try {
    await using directory = await holdDirectory(path);
    await emptyDirectory(directory);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    if (errnoOf(error) !== 'ENOTDIR') throw error;
    return unlinkIfThere(path);
  }
  await rmdir(path);
}

/**
 * Removes the content of a directory. A user who may write in it cannot redirect this to another directory: each directory is opened
 * without following symlinks, and its subdirectories are moved up into `held` before they are removed, so every path has one part.
 */
export async function emptyDirectory(held: HeldDirectory): Promise<void> {
  let moved = 0;
  /** Moves a directory to an unused name in `held`. */
  const moveUp = async (from: Buffer): Promise<void> => {
    try {
      moved += 1;
      await rename(from, `${held.path}/moved-${moved}`);
    } catch (error) {
      if (!['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(errnoOf(error) ?? '')) throw error;
      await moveUp(from); // the name exists
    }
  };
  const removeEntry = async ({ name, isDirectory }: Entry): Promise<void> => {
    const path = below(held, name);
    if (!isDirectory) return unlinkIfThere(path);
    {
      await using directory = await holdDirectory(path);
      await withPermission(directory, async () => {
        for (const inner of await entriesOf(directory)) {
          const from = below(directory, inner.name);
          // moving a directory needs permission to write in it, since its ".." changes
          await (inner.isDirectory ? withPermissionIn(from, () => moveUp(from)) : unlinkIfThere(from));
        }
      });
    }
    await rmdir(path);
  };
  await withPermission(held, async () => {
    for (let entries = await entriesOf(held); entries.length > 0; entries = await entriesOf(held)) {
      for (const entry of entries) await removeEntry(entry);
    }
  });
}

type Entry = { readonly name: Buffer; readonly isDirectory: boolean };

async function entriesOf({ path }: HeldDirectory): Promise<readonly Entry[]> {
  const entries = await readdir(path, { withFileTypes: true, encoding: 'buffer' });
  return entries.map((entry) => ({ name: entry.name, isDirectory: entry.isDirectory() }));
}

/** Works in a directory; if its mode does not permit that, changes the mode and tries again. */
async function withPermission(held: HeldDirectory, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (errnoOf(error) !== 'EACCES') throw error;
    await held.setMode(0o700);
    await work();
  }
}

async function withPermissionIn(path: Buffer, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (errnoOf(error) !== 'EACCES') throw error;
    await using directory = await holdDirectory(path);
    await directory.setMode(0o700);
    await work();
  }
}

async function unlinkIfThere(path: Buffer | string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}

/** The path of a name in a directory, as bytes: not every name is UTF-8. */
function below({ path }: HeldDirectory, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${path}/`), name]);
}

/** Names the boot, since another machine that has the file system too could not reach the socket; undefined where that is not known. */
async function socketName(): Promise<string | undefined> {
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'latin1').catch(() => '');
  return /^[\da-f-]{36}\n$/.test(boot) ? `alive-${boot.trimEnd()}` : undefined;
}

/**
 * Lets others see that this process lives: it answers at a socket in the directory until that is disposed of. Not every file system takes
 * a socket: then nothing is there to be asked.
 */
export async function answerIn(directory: string): Promise<AsyncDisposable | undefined> {
  const name = await socketName();
  if (name === undefined) return undefined;
  const server = createServer((socket: Socket) => void socket.destroy());
  server.unref();
  const listens = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(`${directory}/${name}`, () => resolve(true));
  });
  return {
    [Symbol.asyncDispose]: () => new Promise((resolve) => (listens ? server.close(() => resolve()) : resolve())),
  };
}

/** Removes directories of processes that answered in them and have ended. It leaves what it may not remove, or not even read. */
export async function removeLeftovers(above: HeldDirectory, names: RegExp): Promise<void> {
  const socket = await socketName();
  if (socket === undefined) return;
  try {
    for await (const entry of await opendir(above.path)) {
      if (entry.isDirectory() && names.test(entry.name)) await removeLeftover(`${above.path}/${entry.name}`, socket);
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
    await setTimeout(100); // between bind(2) and listen(2) a living process refuses, too
    if (!(await isDead(`${left.path}/${socket}`))) return;
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
