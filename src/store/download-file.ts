import type { FileHandle } from 'node:fs/promises';

import type { PartialFiles, PartialState } from './download-state.ts';
import { inStore } from './store-error.ts';
import type { PartialDownload } from './store.ts';
import { writeAll } from './write-all.ts';

/** What a power cut may cost of a download. */
const syncEveryBytes = 32 * 1024 * 1024;

/**
 * Opens a download for resuming, if there is something to resume.
 *
 * @param fresh - the state of one that has nothing yet.
 */
export async function openPartial(files: PartialFiles, fresh: PartialState): Promise<PartialDownload> {
  /** Whether there may be files to remove: a small body never makes any. */
  let isMade = files.exist();
  const found = isMade ? await files.find(fresh.bootId) : undefined;
  let state = found?.state ?? fresh;
  let bytes = found?.bytes ?? 0;
  /** Whether the sidecar of this epoch is there, so that a later run would find it. */
  let recorded = found !== undefined;
  let file: FileHandle | undefined;
  let syncing: { readonly upTo: number; readonly done: Promise<void> } | undefined;

  const synced = (): number => syncing?.upTo ?? state.synced;

  /** The data first, then the sidecar that vouches for it. */
  const writeSynced = async (handle: FileHandle, upTo: number): Promise<void> => {
    await handle.datasync();
    const next = { ...state, synced: upTo };
    await files.update(next);
    state = next;
    recorded = true;
  };

  const startSync = (handle: FileHandle): void => {
    const done = writeSynced(handle, bytes);
    done.catch(() => undefined); // reported by who awaits it
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
    await settleSync().catch(() => undefined); // of bytes that are given up
    await closeFile();
    bytes = 0;
    recorded = false;
  };

  const append = async (chunks: readonly Uint8Array[]): Promise<void> => {
    file ??= await files.reopen(state.epoch);
    const incoming = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
    // A body that is whole at once is not worth a sidecar.
    if (!recorded && bytes + incoming !== state.total) {
      await files.begin(state, file);
      recorded = true;
    }
    await writeAll(file, chunks, bytes, (written) => {
      bytes += written;
    });
    if (bytes - synced() < syncEveryBytes) return;
    await settleSync(); // at most one is under way, and the next download does not outrun the disk
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
        const pointless = bytes === 0 && file !== undefined;
        try {
          await sync();
        } finally {
          await closeFile();
        }
        if (pointless) await files.remove();
      }),
  };
}
