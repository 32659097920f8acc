import { hasCode } from '../errors.ts';
import type { GarbageReport, Store, StoredImage } from '../store/store.ts';

const day = 24 * 60 * 60 * 1000;

export type CollectRequest = {
  readonly nowMs: number;
  /** A partial download that nobody resumed for so long goes. Default 24 h. */
  readonly partialsOlderThanMs?: number;
  /** Images not used for longer than this go too. Absent: images stay, however old. */
  readonly gracePeriodMs?: number;
  readonly dryRun?: boolean;
};

/** `garbage` is what nothing refers to; `images` are those taken off the list, whose bytes are `imageBytes`. */
export type CollectReport = {
  readonly images: readonly StoredImage[];
  readonly imageBytes: number;
  readonly garbage: GarbageReport;
};

/** Gives space back: images unused for a while if that was asked for, then everything in the store that nothing needs. */
export async function collect(store: Store, request: CollectRequest): Promise<CollectReport> {
  const { nowMs, partialsOlderThanMs = day, gracePeriodMs, dryRun = false } = request;
  const unused = gracePeriodMs === undefined ? [] : await unusedSince(store, nowMs - gracePeriodMs);
  const images = dryRun ? unused : await Array.fromAsync(removeEach(store, unused));
  const garbage = await store.collect({ nowMs, partialsOlderThanMs, dryRun });
  return { images, imageBytes: images.reduce((sum, image) => sum + image.size, 0), garbage };
}

/** Last used before `sinceMs`; the longest unused first. Equal counts as used. */
async function unusedSince(store: Store, sinceMs: number): Promise<StoredImage[]> {
  const unused: StoredImage[] = [];
  for await (const image of store.images()) if (image.lastUsedAtMs < sinceMs) unused.push(image);
  return unused.sort((a, b) => a.lastUsedAtMs - b.lastUsedAtMs);
}

async function* removeEach(store: Store, images: readonly StoredImage[]): AsyncGenerator<StoredImage> {
  for (const image of images) {
    const now = await store.getImage(image.imageId);
    if (now?.lastUsedAtMs !== image.lastUsedAtMs) continue; // used or removed since it was looked at
    try {
      await store.remove(image.imageId);
    } catch (error) {
      if (hasCode(error, 'NOT_IN_STORE')) continue; // another process was faster
      throw error;
    }
    yield image;
  }
}
