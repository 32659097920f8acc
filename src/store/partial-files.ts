import { constants, existsSync } from 'node:fs';
import { chmod, lstat, mkdir, open, readdir, rename, rm, truncate, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

import type { Layout } from '../../workers/index-writer/protocol.ts';
import { errnoOf } from '../system/errno.ts';
import { formatPartialState, parsePartialState, type PartialState } from './partial-state.ts';
import { syncDirectory } from './sync-directory.ts';

/** Far above what we write. */
const stateBytes = 64 * 1024;

/** One that a full disk cut short is written again. */
const firstSidecar = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;

type Resumable = { readonly state: PartialState; readonly bytes: number };

/** The files of one download: `<epoch>.part` and the sidecar, in a directory of their own. */
export type PartialFiles = {
  path(epoch: number): string;
  /** Whether there is anything at all: one look, cheaper than to ask another thread. */
  exist(): boolean;
  /** What can be resumed: undefined unless the sidecar is whole and fits the bytes. Changes nothing. */
  peek(bootId: string | undefined): Promise<Resumable | undefined>;
  /** The same, without what cannot be relied upon. */
  find(bootId: string | undefined): Promise<Resumable | undefined>;
  /** An empty file, and nothing beside it. */
  create(epoch: number): Promise<FileHandle>;
  reopen(epoch: number): Promise<FileHandle>;
  /** The first sidecar of an epoch: there is nothing to lose yet, so it need not be whole at once. */
  begin(state: PartialState, file: FileHandle): Promise<void>;
  /** Puts a sidecar in the place of the last one, so that a power cut leaves one or the other. */
  update(state: PartialState): Promise<void>;
  remove(): Promise<void>;
};

export function partialFiles({ downloads, dirMode, fileMode }: Layout, key: string): PartialFiles {
  const directory = join(downloads, key);
  const sidecar = join(directory, 'state.json');
  const path = (epoch: number): string => join(directory, `${epoch}.part`);
  let namesSynced = false;

  const empty = async (): Promise<void> => {
    try {
      await mkdir(directory);
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
      for (const name of await readdir(directory)) await rm(join(directory, name), { recursive: true, force: true });
    }
  };

  const write = async (file: FileHandle, state: PartialState): Promise<void> => {
    await file.writeFile(formatPartialState(state));
    await file.chmod(fileMode);
  };

  const update = async (state: PartialState): Promise<void> => {
    const temporary = `${sidecar}.new`;
    await rm(temporary, { force: true });
    {
      await using handle = await open(temporary, 'wx');
      await write(handle, state);
      await handle.datasync();
    }
    await rename(temporary, sidecar);
    if (namesSynced) return;
    await syncDirectory(directory);
    await syncDirectory(downloads);
    namesSynced = true;
  };

  /** What was written before a power cut, but not synced, may be anything. */
  const peek = async (bootId: string | undefined): Promise<Resumable | undefined> => {
    const text = await readSmallFile(sidecar);
    const state = text === undefined ? undefined : parsePartialState(text, key);
    if (!state) return undefined;
    const size = await sizeOf(path(state.epoch));
    if (size === undefined || size < state.synced || size > (state.total ?? Infinity)) return undefined;
    return { state, bytes: isOfThisBoot(state, bootId) ? size : state.synced };
  };

  return {
    path,
    exist: () => existsSync(directory),
    update,
    peek,
    async find(bootId) {
      const found = await peek(bootId);
      if (!found || isOfThisBoot(found.state, bootId)) return found;
      const { state, bytes } = found;
      await truncate(path(state.epoch), bytes);
      const current = { ...state, ...(bootId !== undefined && { bootId }) };
      await update(current); // from here on this start counts
      return { state: current, bytes };
    },
    async create(epoch) {
      await empty();
      return open(path(epoch), 'wx');
    },
    reopen: (epoch) => open(path(epoch), constants.O_RDWR | constants.O_NOFOLLOW),
    async begin(state, file) {
      await chmod(directory, dirMode);
      await file.chmod(fileMode);
      await using handle = await open(sidecar, firstSidecar);
      await write(handle, state);
    },
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}

function isOfThisBoot(state: PartialState, bootId: string | undefined): boolean {
  return bootId !== undefined && state.bootId === bootId;
}

/** Undefined as well for what can't be read: it is of no use, and an attempt to replace it will say why. */
async function readSmallFile(path: string): Promise<string | undefined> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    const { size } = await file.stat();
    return size <= stateBytes ? await file.readFile('utf8') : undefined;
  } catch {
    return undefined;
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const stat = await lstat(path);
    return stat.isFile() ? stat.size : undefined;
  } catch {
    return undefined;
  }
}
