import { hasCode } from '../errors.ts';
import type { GarbageReport, Store } from '../store/store.ts';
import { type Entry, listImages } from './list.ts';
import { removeEntry } from './remove.ts';

const day = 24 * 60 * 60 * 1000;

export type CollectRequest = {
  readonly nowMs: number;
  /** A partial download that nobody resumed for so long goes. Default 24 h. */
  readonly partialsOlderThanMs?: number;
  /** Images not used for longer than this go too. Absent: images stay, however old. */
  readonly gracePeriodMs?: number;
  readonly dryRun?: boolean;
};

/**
 * `garbage` is what nothing refers to; `images` are those taken off the list, and `imageBytes` what that gave back: in a
 * dry run, their sizes, blobs that images share counted in each.
 */
export type CollectReport = {
  readonly images: readonly Entry[];
  readonly imageBytes: number;
  readonly garbage: GarbageReport;
};

/** Gives space back: images unused for a while if that was asked for, then everything in the store that nothing needs. */
export async function collect(store: Store, request: CollectRequest): Promise<CollectReport> {
  const { nowMs, partialsOlderThanMs = day, gracePeriodMs, dryRun = false } = request;
  const unused = gracePeriodMs === undefined ? [] : await unusedSince(store, nowMs - gracePeriodMs);
  const removed = dryRun
    ? unused.map((entry) => ({ entry, bytes: entry.size }))
    : await Array.fromAsync(removeEach(store, unused));
  const garbage = await store.collect({ nowMs, partialsOlderThanMs, dryRun });
  const imageBytes = removed.reduce((sum, { bytes }) => sum + bytes, 0);
  return { images: removed.map(({ entry }) => entry), imageBytes, garbage };
}

/** Last used before `sinceMs`; the longest unused first. Equal counts as used. */
async function unusedSince(store: Store, sinceMs: number): Promise<Entry[]> {
  const unused: Entry[] = [];
  for await (const entry of listImages(store)) if (entry.lastUsedAtMs < sinceMs) unused.push(entry);
  return unused.sort((a, b) => a.lastUsedAtMs - b.lastUsedAtMs);
}

async function* removeEach(
  store: Store,
  entries: readonly Entry[],
): AsyncGenerator<{ readonly entry: Entry; readonly bytes: number }> {
  for (const entry of entries) {
    const now = await (entry.kind === 'image'
      ? store.getImage(entry.id)
      : store.findRegistryImage(entry.image.reference));
    if (now?.lastUsedAtMs !== entry.lastUsedAtMs) continue; // used or removed since it was looked at
    try {
      yield { entry, bytes: await removeEntry(store, entry) };
    } catch (error) {
      if (!hasCode(error, 'NOT_IN_STORE')) throw error; // another process was faster
    }
  }
}
