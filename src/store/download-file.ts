import type { FileHandle } from 'node:fs/promises';

import { writeAll } from '../system/write-files.ts';
import type { PartialFiles, PartialState } from './download-state.ts';
import type { PartialDownload } from './store.ts';
import { inStore } from './store-error.ts';

/** A power cut loses at most this many bytes of a download. */
const syncEveryBytes = 32 * 1024 * 1024;

/**
 * Opens a download, and resumes it if possible.
 *
 * @param fresh - the state of a download without bytes.
 */
export async function openPartial(files: PartialFiles, fresh: PartialState): Promise<PartialDownload> {
  /** Whether files may exist that have to be removed. A small body never creates any. */
  let isMade = files.exist();
  const found = isMade ? await files.find(fresh.bootId) : undefined;
  let state = found?.state ?? fresh;
  let bytes = found?.bytes ?? 0;
  /** Whether this epoch has a sidecar, so that a later run finds it. */
  let hasSidecar = found !== undefined;
  let file: FileHandle | undefined;
  let syncing: { readonly upTo: number; readonly done: Promise<void> } | undefined;

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

  const guarded = <T>(work: () => Promise<T>): Promise<T> => inStore(files.path(state.epoch), work);

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
        isMade = true;
        file = await files.create(state.epoch);
      }),
    append: (chunks) => guarded(() => append(chunks)),
    sync: () => guarded(sync),
    discard: () =>
      guarded(async () => {
        await dropFile();
        state = { ...fresh, epoch: state.epoch };
        if (isMade) await files.remove();
        isMade = false;
      }),
    close: () =>
      guarded(async () => {
        const isEmpty = bytes === 0 && file !== undefined;
        try {
          await sync();
        } finally {
          await closeFile();
        }
        if (isEmpty) await files.remove();
      }),
  };
}
