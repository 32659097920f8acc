import { hasCode } from '../errors.ts';
import type { GarbageReport, Store } from '../store/store.ts';
import { debugLog } from '../system/debug.ts';
import { type Entry, listImages } from './list.ts';
import { removeEntry } from './remove.ts';

const debug = debugLog('images');

const day = 24 * 60 * 60 * 1000;

export type CollectRequest = {
  readonly nowMs: number;
  /** Partial downloads that were not resumed for this long are removed. Default 24 h. */
  readonly partialsOlderThanMs?: number;
  /** Images that were not used for this long are removed, too. Absent: no image is removed. */
  readonly gracePeriodMs?: number;
  readonly dryRun?: boolean;
  /** Stops it between two images. */
  readonly signal?: AbortSignal;
};

/**
 * `images` were removed because they were not used, and `imageBytes` is the space that this freed; in a dry run the sum
 * of their sizes, where shared blobs count more than once. `garbage` is what nothing refers to. `isStopped`: by the signal, before all
 * of that was removed.
 */
export type CollectReport = {
  readonly images: readonly Entry[];
  readonly imageBytes: number;
  readonly garbage: GarbageReport;
  readonly isStopped: boolean;
};

/** Of a store that does not exist, and where a collection was stopped. */
export const noGarbage: GarbageReport = { blobs: 0, partials: 0, temporaries: 0, bytes: 0, left: [] };

/**
 * Frees space: removes images that were not used for the grace period, if there is one, and then everything in the
 * store that nothing needs.
 */
export async function collect(store: Store, request: CollectRequest): Promise<CollectReport> {
  const { nowMs, partialsOlderThanMs = day, gracePeriodMs, dryRun = false, signal } = request;
  const unused = gracePeriodMs === undefined ? [] : await unusedSince(store, nowMs - gracePeriodMs);
  const removed = dryRun
    ? unused.map((entry) => ({ entry, bytes: entry.size }))
    : await Array.fromAsync(removeUnused(store, unused, signal));
  const isStopped = signal?.aborted ?? false;
  const garbage = isStopped ? noGarbage : await store.collect({ nowMs, partialsOlderThanMs, dryRun });
  debug(() => {
    const { blobs, partials, temporaries, bytes } = garbage;
    const swept = `${blobs} blobs, ${partials} partial downloads, ${temporaries} temporary files, ${bytes} bytes`;
    return `collect: of ${unused.length} unused images ${removed.length} removed; ${swept}`;
  });
  const imageBytes = removed.reduce((sum, { bytes }) => sum + bytes, 0);
  return { images: removed.map(({ entry }) => entry), imageBytes, garbage, isStopped };
}

/** Images last used before `sinceMs`, the longest unused first. */
async function unusedSince(store: Store, sinceMs: number): Promise<Entry[]> {
  const unused: Entry[] = [];
  for await (const entry of listImages(store)) if (entry.lastUsedAtMs < sinceMs) unused.push(entry);
  return unused.sort((a, b) => a.lastUsedAtMs - b.lastUsedAtMs);
}

/** Removes images one by one, until the signal is aborted, but those that were used or removed since they were listed. */
export async function* removeUnused(
  store: Store,
  entries: readonly Entry[],
  signal: AbortSignal | undefined,
): AsyncGenerator<{ readonly entry: Entry; readonly bytes: number }> {
  for (const entry of entries) {
    if (signal?.aborted) return;
    const now = await (entry.kind === 'image'
      ? store.getImage(entry.id)
      : store.findRegistryImage(entry.image.reference));
    if (now?.lastUsedAtMs !== entry.lastUsedAtMs) continue; // used or removed in the meantime
    try {
      yield { entry, bytes: await removeEntry(store, entry) };
    } catch (error) {
      if (!hasCode(error, 'NOT_IN_STORE')) throw error; // another process has removed it
    }
  }
}
