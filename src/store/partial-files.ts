import { constants, lstatSync } from 'node:fs';
import { lstat, mkdir, open, rename, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

import type { Layout } from '../../workers/index-writer/protocol.ts';
import { errnoOf, isNoEntry } from '../system/errno.ts';
import { openOwnFile, readAtMost } from '../system/files.ts';
import { holdDirectorySync, removePath } from '../system/held-directory.ts';
import { whenFilesAreFree } from '../system/spare-files.ts';
import { formatPartialState, parsePartialState, type PartialState } from './partial-state.ts';
import { syncDirectory } from './sync-directory.ts';

/** Far above what we write. */
const stateBytes = 64 * 1024;

/** One that a full disk cut short is written again. */
const firstSidecar =
  constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const sidecar = 'state.json';

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

/** @param aside - a fresh name in this process's private directory: nobody can add to what is removed there, or exchange it. */
export function partialFiles(
  { downloads, dirMode, fileMode }: Pick<Layout, 'downloads' | 'dirMode' | 'fileMode'>,
  key: string,
  aside: () => string,
): PartialFiles {
  const directory = join(downloads, key);
  const nameOf = (epoch: number): string => `${epoch}.part`;
  let namesSynced = false;

  /** Works in the directory itself: what others put in its place meanwhile is not followed. @throws ENOTDIR */
  const within = async <T>(work: (at: (name: string) => string) => Promise<T>): Promise<T> => {
    using held = await whenFilesAreFree(() => holdDirectorySync(directory));
    return await work((name) => `${held.path}/${name}`);
  };

  const remove = async (): Promise<void> => {
    const moved = aside();
    try {
      await rename(directory, moved);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return;
      throw error;
    }
    await removePath(moved);
  };

  const makeEmpty = async (): Promise<void> => {
    try {
      await mkdir(directory);
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
      await remove();
      await mkdir(directory);
    }
  };

  const write = async (file: FileHandle, state: PartialState): Promise<void> => {
    await file.writeFile(formatPartialState(state));
    await file.chmod(fileMode);
  };

  const update = async (state: PartialState): Promise<void> => {
    await within(async (at) => {
      const temporary = at(`${sidecar}.new`);
      await removePath(temporary);
      {
        await using handle = await whenFilesAreFree(() => open(temporary, 'wx'));
        await write(handle, state);
        await handle.datasync();
      }
      await rename(temporary, at(sidecar));
      if (!namesSynced) await syncDirectory(at(''));
    });
    if (namesSynced) return;
    await syncDirectory(downloads);
    namesSynced = true;
  };

  const peekAt = async (at: (name: string) => string, bootId: string | undefined): Promise<Resumable | undefined> => {
    const text = await readSmallFile(at(sidecar));
    const state = text === undefined ? undefined : parsePartialState(text, key);
    if (!state) return undefined;
    const size = await sizeOf(at(nameOf(state.epoch)));
    if (size === undefined || size < state.synced || size > (state.total ?? Infinity)) return undefined;
    return { state, bytes: isOfThisBoot(state, bootId) ? size : state.synced };
  };
  /** What was written before a power cut, but not synced, may be anything. */
  const peek = (bootId: string | undefined): Promise<Resumable | undefined> =>
    within((at) => peekAt(at, bootId)).catch((error: unknown) => {
      if (isNoEntry(error)) return undefined;
      throw error;
    });
  const reopen = (epoch: number): Promise<FileHandle> =>
    within((at) => openOwnFile(at(nameOf(epoch)), constants.O_RDWR));

  return {
    path: (epoch) => join(directory, nameOf(epoch)),
    exist: () => lstatSync(directory, { throwIfNoEntry: false }) !== undefined,
    update,
    peek,
    async find(bootId) {
      const found = await peek(bootId);
      if (!found || isOfThisBoot(found.state, bootId)) return found;
      const { state, bytes } = found;
      {
        await using file = await reopen(state.epoch);
        await file.truncate(bytes);
      }
      const current = { ...state, ...(bootId !== undefined && { bootId }) };
      await update(current); // from here on this start counts
      return { state: current, bytes };
    },
    async create(epoch) {
      await makeEmpty();
      return within((at) => whenFilesAreFree(() => open(at(nameOf(epoch)), 'wx')));
    },
    reopen,
    async begin(state, file) {
      using held = await whenFilesAreFree(() => holdDirectorySync(directory));
      await held.setMode(dirMode);
      await file.chmod(fileMode);
      await using handle = await whenFilesAreFree(() => open(`${held.path}/${sidecar}`, firstSidecar));
      await write(handle, state);
    },
    remove,
  };
}

function isOfThisBoot(state: PartialState, bootId: string | undefined): boolean {
  return bootId !== undefined && state.bootId === bootId;
}

/** Undefined as well for what can't be read: it is of no use, and an attempt to replace it will say why. */
async function readSmallFile(path: string): Promise<string | undefined> {
  try {
    await using file = await openOwnFile(path);
    const bytes = await readAtMost(file, stateBytes + 1);
    return bytes.length <= stateBytes ? bytes.toString() : undefined;
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
