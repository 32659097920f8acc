import { setTimeout } from 'node:timers/promises';

import { sqliteResult, storeError } from './store-error.ts';

const SQLITE_BUSY = 5;
const busyMs = 10_000;
const retryMs = 20;

/**
 * Reads from the index, again while it is busy: for the moments when another process recovers, opens or closes it. SQLite
 * would wait with the thread.
 *
 * @throws STORE_BUSY after 10 s, and the other STORE_ codes.
 */
export async function patiently<T>(path: string, read: () => T): Promise<T> {
  const until = performance.now() + busyMs;
  for (;;) {
    try {
      return read();
    } catch (error) {
      const busy = ((sqliteResult(error) ?? 0) & 0xff) === SQLITE_BUSY;
      if (!busy || performance.now() > until) throw storeError(error, path);
    }
    await setTimeout(retryMs);
  }
}
