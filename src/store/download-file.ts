import type { FileHandle } from 'node:fs/promises';

import { closedError } from '../errors.ts';
import { writeAll } from '../system/write-files.ts';
import type { PartialFiles, PartialState } from './download-state.ts';
import { orClosed } from './refuse-once-closed.ts';
import type { Space } from './space.ts';
import type { PartialDownload } from './store.ts';
import { inStore } from './store-error.ts';

/** A power cut loses at most this many bytes of a download. */
const syncEveryBytes = 32 * 1024 * 1024;

/** The downloads of one store. Once that is closed they change nothing any more: others may have the claims. */
type OpenPartials = {
  /**
   * Opens a download, and resumes it if possible.
   *
   * @param fresh - the state of a download without bytes.
   * @param key - of its reservation of space.
   */
  open(files: PartialFiles, fresh: PartialState, key: string): Promise<PartialDownload>;
  /** Resolves when nothing of them is under way. */
  settled(): Promise<void>;
};

export function createOpenPartials(closed: AbortSignal, space: Space): OpenPartials {
  const running = new Set<Promise<unknown>>();
  const run = async <T>(work: () => Promise<T>): Promise<T> => {
    if (closed.aborted) throw closedError('store');
    const over = work().finally(() => running.delete(over));
    running.add(over);
    return over.catch((error: unknown) => {
      throw orClosed(error, closed);
    });
  };
  return {
    open: (files, fresh, key) => run(() => openPartial(files, fresh, { closed, run, room: roomFor(space, key) })),
    async settled() {
      await Promise.allSettled(running);
    },
  };
}

/** The space that one download has reserved. */
type Room = {
  /** @throws STORE_FULL */
  reserve(bytes: number): Promise<void>;
  remains(bytes: number): void;
  release(): void;
};

function roomFor(space: Space, key: string): Room {
  let held: Disposable | undefined;
  const release = (): void => {
    held?.[Symbol.dispose]();
    held = undefined;
  };
  return {
    async reserve(bytes) {
      release();
      held = await space.reserve(new Map([[key, bytes]]));
      space.remains(key, bytes); // others may have reserved it before something was there
    },
    remains: (bytes) => space.remains(key, bytes),
    release,
  };
}

type Guard = {
  readonly closed: AbortSignal;
  readonly run: <T>(work: () => Promise<T>) => Promise<T>;
  readonly room: Room;
};

async function openPartial(
  files: PartialFiles,
  fresh: PartialState,
  { closed, run, room }: Guard,
): Promise<PartialDownload> {
  /** Whether files may exist that have to be removed. A small body never creates any. */
  let isMade = files.exist();
  const found = isMade ? await files.find(fresh.bootId) : undefined;
  let state = found?.state ?? fresh;
  let bytes = found?.bytes ?? 0;
  /** Whether this epoch has a sidecar, so that a later run finds it. */
  let hasSidecar = found !== undefined;
  let file: FileHandle | undefined;
  let syncing: { readonly upTo: number; readonly done: Promise<void> } | undefined;
  if (state.total !== undefined) await room.reserve(state.total - bytes);

  const synced = (): number => syncing?.upTo ?? state.synced;

  /** Syncs the data before it writes the sidecar that relies on it. */
  const writeSynced = async (handle: FileHandle, upTo: number): Promise<void> => {
    await handle.datasync();
    const next = { ...state, synced: upTo };
    await files.update(next);
    state = next;
    hasSidecar = true;
  };

  const startSync = (handle: FileHandle): void => {
    const done = writeSynced(handle, bytes);
    done.catch(() => undefined); // reported by settleSync
    syncing = { upTo: bytes, done };
  };

  const settleSync = async (): Promise<void> => {
    const running = syncing;
    syncing = undefined;
    await running?.done;
  };

  const closeFile = async (): Promise<void> => {
    const closing = file;
    file = undefined;
    await closing?.close();
  };

  const dropFile = async (): Promise<void> => {
    await settleSync().catch(() => undefined); // these bytes are given up
    await closeFile();
    bytes = 0;
    hasSidecar = false;
  };

  const closeUnchanged = async (): Promise<void> => {
    await settleSync().catch(() => undefined); // a later run resumes from what was synced before
    await closeFile();
  };

  const append = async (chunks: readonly Uint8Array[]): Promise<void> => {
    file ??= await files.reopen(state.epoch);
    const incoming = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
    // A body that is complete at once needs no sidecar.
    if (!hasSidecar && bytes + incoming !== state.total) {
      await files.begin(state, file);
      hasSidecar = true;
    }
    await writeAll(file, chunks, bytes, (written) => {
      bytes += written;
    });
    if (state.total !== undefined) room.remains(Math.max(0, state.total - bytes));
    if (bytes - synced() < syncEveryBytes) return;
    await settleSync(); // one sync at a time, so that no download is far ahead of the disk
    startSync(file);
  };

  const sync = async (): Promise<void> => {
    await settleSync();
    if (bytes === state.synced) return;
    file ??= await files.reopen(state.epoch);
    await writeSynced(file, bytes);
  };

  const guarded = <T>(work: () => Promise<T>): Promise<T> => run(() => inStore(files.path(state.epoch), work));

  return {
    get path() {
      return files.path(state.epoch);
    },
    get bytes() {
      return bytes;
    },
    get validator() {
      return state.validator;
    },
    get total() {
      return state.total;
    },
    restart: (about) =>
      guarded(async () => {
        await dropFile();
        state = { ...fresh, epoch: state.epoch + 1, ...about };
        if (about.total === undefined) room.release();
        else await room.reserve(about.total);
        isMade = true;
        file = await files.create(state.epoch);
      }),
    append: (chunks) => guarded(() => append(chunks)),
    sync: () => guarded(sync),
    async discard() {
      room.release();
      if (closed.aborted) await closeUnchanged();
      await guarded(async () => {
        await dropFile();
        state = { ...fresh, epoch: state.epoch };
        if (isMade) await files.remove();
        isMade = false;
      });
    },
    async close() {
      room.release();
      if (closed.aborted) return closeUnchanged();
      await guarded(async () => {
        const isEmpty = bytes === 0 && file !== undefined;
        try {
          await sync();
        } finally {
          await closeFile();
        }
        if (isEmpty) await files.remove();
      });
    },
  };
}
