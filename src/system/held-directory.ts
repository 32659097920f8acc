import { closeSync, constants, openSync, readlinkSync } from 'node:fs';
import { open, readdir, rename, rmdir, unlink, chmod } from 'node:fs/promises';

import { errnoOf } from './errno.ts';

/** Opens a name without a right to its content. Linux has it, Node does not name it. */
const O_PATH = 0o10000000;

/** A directory that stays the same one, whatever others put in its place meanwhile. */
export type HeldDirectory = AsyncDisposable & {
  /** Leads to the directory itself, in child processes too. */
  readonly path: string;
  /** False where the system has no such paths: then it is the path that was given. */
  readonly isHeld: boolean;
  /** Also of one that its present mode keeps us out of. */
  setMode(mode: number): Promise<void>;
};

/** Where the descriptors of this process have names: undefined without a `/proc` of its own. */
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
    path: `${link}/.`, // calls that do not follow a link at the end of a path get the directory all the same
    isHeld: descriptors !== undefined,
    setMode: (mode) => chmod(link, mode),
    [Symbol.asyncDispose]: () => directory.close(),
  };
}

/** The same for short work, without another thread; no symlink is followed. */
export function holdDirectorySync(path: string): Disposable & Pick<HeldDirectory, 'path' | 'setMode'> {
  const directory = openSync(path, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  const link = descriptors === undefined ? path : `${descriptors}/${directory}`;
  return {
    path: `${link}/.`,
    setMode: (mode) => chmod(link, mode),
    [Symbol.dispose]: () => closeSync(directory),
  };
}

/** Removes whatever bears a name, a directory with all that is in it, if it is there. */
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
 * Removes all that is in a directory. Whoever may write below it cannot lead this elsewhere: each directory is opened
 * without following links, and those in it are moved up before it is their turn, so that no path has more than one part.
 */
export async function emptyDirectory(held: HeldDirectory): Promise<void> {
  let moved = 0;
  /** To a name of its own in `held`. */
  const moveUp = async (from: Buffer): Promise<void> => {
    try {
      moved += 1;
      await rename(from, `${held.path}/moved-${moved}`);
    } catch (error) {
      if (!['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(errnoOf(error) ?? '')) throw error;
      await moveUp(from); // that name was taken
    }
  };
  const removeEntry = async ({ name, isDirectory }: Entry): Promise<void> => {
    const path = below(held, name);
    if (!isDirectory) return unlinkIfThere(path);
    {
      await using directory = await holdDirectory(path);
      await allowing(directory, async () => {
        for (const inner of await entriesOf(directory)) {
          const from = below(directory, inner.name);
          // A directory that moves is changed itself: it has another one above.
          await (inner.isDirectory ? allowingIn(from, () => moveUp(from)) : unlinkIfThere(from));
        }
      });
    }
    await rmdir(path);
  };
  await allowing(held, async () => {
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

/** Works in a directory, once more with a mode that lets us where its own does not. */
async function allowing(held: HeldDirectory, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (errnoOf(error) !== 'EACCES') throw error;
    await held.setMode(0o700);
    await work();
  }
}

async function allowingIn(path: Buffer, work: () => Promise<void>): Promise<void> {
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

/** Paths are bytes: not every name is UTF-8. */
function below({ path }: HeldDirectory, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${path}/`), name]);
}
