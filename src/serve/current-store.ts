import { lstatSync } from 'node:fs';

import type { Store } from '../store/store.ts';
import { debugLog } from '../system/debug.ts';

const debug = debugLog('serve');

/** How often it is looked at whether the index is still the one that was opened. */
const lookMs = 1_000;

export type CurrentStore = AsyncDisposable & {
  /** Runs work with the store. Changes by other processes are seen from one call to the next. */
  use<T>(work: (store: Store) => Promise<T>): Promise<T>;
};

type Opened = { readonly store: Store; readonly inode: string; users: number; isLeft: boolean };

/**
 * A store that is read for a long time. When a repair or a copy puts another index in the place of the one that was opened, the store is
 * opened again.
 *
 * @param index - the path of the index.
 * @param open - opens the store for reading. It may refuse, then so does `use`.
 */
export async function followStore(index: string, open: () => Promise<Store>): Promise<CurrentStore> {
  const openNow = async (): Promise<Opened> => {
    const inode = inodeOf(index);
    const store = await open();
    const isMade = (await store.salt()) !== ''; // an index that is still being made has no tables yet
    return { store, inode: isMade ? inode : '', users: 0, isLeft: false };
  };
  const leave = async (opened: Opened): Promise<void> => {
    opened.isLeft = true;
    if (opened.users === 0) await opened.store.close();
  };
  let current = await openNow();
  let lookedMs = performance.now();
  let opening: Promise<void> | undefined;
  let failure: { readonly error: unknown } | undefined;

  const openAgain = async (): Promise<void> => {
    const before = current;
    try {
      current = await openNow();
      failure = undefined;
      debug(() => `${index}: another index is there, which is opened`);
      await leave(before);
    } catch (error) {
      failure = { error }; // what was open is no longer what is there
    } finally {
      opening = undefined;
      lookedMs = performance.now();
    }
  };

  return {
    async use(work) {
      if (!opening && performance.now() - lookedMs > lookMs) {
        lookedMs = performance.now();
        const inode = inodeOf(index);
        if (inode !== '' && inode !== current.inode) opening = openAgain();
      }
      await opening;
      if (failure) throw failure.error;
      const opened = current;
      opened.users += 1;
      try {
        return await work(opened.store);
      } finally {
        opened.users -= 1;
        if (opened.isLeft && opened.users === 0) await opened.store.close();
      }
    },
    async [Symbol.asyncDispose]() {
      await opening;
      await leave(current);
    },
  };
}

/** Empty when there is none. */
function inodeOf(path: string): string {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return stat ? `${stat.dev} ${stat.ino}` : '';
}
