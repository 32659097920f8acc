import { constants, lstatSync } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';

import { errnoOf, isNoEntry } from '../system/errno.ts';
import { openOwnFile, readAtMost } from '../system/files.ts';
import { holdDirectorySync, removePath } from '../system/held-directory.ts';
import { whenFilesAreFree } from '../system/spare-files.ts';
import { syncDirectory } from '../system/write-files.ts';
import type { Layout } from './index/protocol.ts';
import type { Validator } from './store.ts';

/** Far more than a sidecar needs. */
const stateBytes = 64 * 1024;

/** Overwrites a sidecar that a full disk left incomplete. */
const firstSidecar =
  constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const sidecar = 'state.json';

type Resumable = { readonly state: PartialState; readonly bytes: number };

/** The files of one download: `<epoch>.part` and the sidecar, in a directory of their own. */
export type PartialFiles = {
  path(epoch: number): string;
  /** Whether the directory exists. One synchronous call is cheaper than a call in another thread. */
  exist(): boolean;
  /** What can be resumed: undefined unless the sidecar is complete and matches the file. Changes nothing. */
  peek(bootId: string | undefined): Promise<Resumable | undefined>;
  /** As `peek`, but removes the bytes that cannot be relied upon. */
  find(bootId: string | undefined): Promise<Resumable | undefined>;
  /** Creates an empty file in an empty directory. */
  create(epoch: number): Promise<FileHandle>;
  reopen(epoch: number): Promise<FileHandle>;
  /** Writes the first sidecar of an epoch. No earlier one can be lost, so it need not be atomic. */
  begin(state: PartialState, file: FileHandle): Promise<void>;
  /** Replaces the sidecar atomically: a power cut leaves the old one or the new one. */
  update(state: PartialState): Promise<void>;
  remove(): Promise<void>;
};

/**
 * @param temporaryPath - a fresh name in this process's private directory. What is to be removed is moved there first,
 * where no other process can add to it or exchange it.
 */
export function partialFiles(
  { downloads, dirMode, fileMode }: Pick<Layout, 'downloads' | 'dirMode' | 'fileMode'>,
  key: string,
  temporaryPath: () => string,
): PartialFiles {
  const directory = join(downloads, key);
  const nameOf = (epoch: number): string => `${epoch}.part`;
  let namesSynced = false;

  /**
   * Opens the directory and works below its descriptor, so that a symlink put in its place is not followed. @throws
   * ENOTDIR
   */
  const within = async <T>(work: (at: (name: string) => string) => Promise<T>): Promise<T> => {
    using held = await whenFilesAreFree(() => holdDirectorySync(directory));
    return await work((name) => `${held.path}/${name}`);
  };

  const remove = async (): Promise<void> => {
    const moved = temporaryPath();
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
  /** After a power cut, bytes that were not synced may have any value. */
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
      await update(current); // the synced bytes are valid for this boot now
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

/** Undefined also for a file that cannot be read: an attempt to replace it will report why. */
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

/** What is needed to resume a download. It is stored in the sidecar, next to the bytes. */
export type PartialState = {
  /** SHA-256 of the exact URL, hex. */
  readonly key: string;
  /** For humans: without credentials and query. */
  readonly url: string;
  readonly epoch: number;
  readonly validator?: Validator;
  readonly total?: number;
  /** Bytes that survive a power cut. */
  readonly synced: number;
  /** The boot in which this was written. */
  readonly bootId?: string;
};

export function formatPartialState(state: PartialState): string {
  return `${JSON.stringify(state)}\n`;
}

/**
 * @returns undefined for text that is incomplete or belongs to another key: then no byte of the download can be relied
 * upon.
 */
export function parsePartialState(text: string, key: string): PartialState | undefined {
  const value = parseObject(text);
  if (value?.['key'] !== key) return undefined;
  const { url, epoch, total, synced, bootId } = value;
  const validator = parseValidator(value['validator']);
  if (typeof url !== 'string' || !isCount(epoch) || !isCount(synced) || validator === 'damaged') return undefined;
  if (total !== undefined && !isCount(total)) return undefined;
  if (bootId !== undefined && typeof bootId !== 'string') return undefined;
  return {
    key,
    url,
    epoch,
    synced,
    ...(validator && { validator }),
    ...(total !== undefined && { total }),
    ...(bootId !== undefined && { bootId }),
  };
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

function parseValidator(value: unknown): Validator | undefined | 'damaged' {
  if (value === undefined) return undefined;
  if (typeof value !== 'object' || value === null || !('kind' in value) || !('value' in value)) return 'damaged';
  const { kind, value: text } = value;
  return (kind === 'etag' || kind === 'last-modified') && typeof text === 'string' ? { kind, value: text } : 'damaged';
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

/**
 * An ID that differs after each boot. After a reboot only synced bytes can be relied upon.
 *
 * @returns undefined where the kernel has none: then every process counts as a new boot.
 */
export async function readBootId(): Promise<string | undefined> {
  try {
    return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  } catch {
    return undefined;
  }
}
