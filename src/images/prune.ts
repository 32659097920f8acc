import { asImageError, ImageError } from '../errors.ts';
import { type Digest, isDigest } from '../image/digest.ts';
import { isImageId } from '../image/image-id.ts';
import { defaultLabels, type NodePlatform } from '../image/labels.ts';
import type { PlatformChoice } from '../image/platform.ts';
import type { ImageReference } from '../image/reference.ts';
import { parseRegistryReference, registryImageName } from '../image/registry-reference.ts';
import type { RegistryImage } from '../store/registry-store.ts';
import type { Store, StoredImage } from '../store/store.ts';
import { type CollectReport, noGarbage, removeUnused } from './collect.ts';
import { findDependency } from './extract.ts';
import { findAnswers, isOf, notAnswered } from './find-answers.ts';
import { type Entry, listImages } from './list.ts';
import { entryKey } from './resolve-image.ts';

/** What has to stay: what a reference stands for in the store, or the images that a lock has. `asked` is for messages. */
export type ToKeep = { readonly asked: string } & (
  | { readonly reference: ImageReference; readonly platforms: readonly PlatformChoice[] }
  | { readonly locked: LockedIds }
);

/** The IDs in an entry of a lock; its key is the reference. */
type LockedIds = {
  readonly imageID?: string | undefined;
  readonly digest?: Digest | undefined;
  readonly platforms?: Readonly<Record<string, Digest>> | undefined;
};

export type PruneRequest = {
  readonly keep: Iterable<ToKeep>;
  readonly platform: NodePlatform;
  readonly nowMs: number;
  /** Whether everything may be removed. Default false. */
  readonly removesAll?: boolean;
  readonly dryRun?: boolean;
  /** Stops it: before anything is removed, or between two images. */
  readonly signal?: AbortSignal;
};

/** As of a collection, and how many images stay. */
export type PruneReport = CollectReport & {
  readonly kept: number;
};

/** A reference that the store cannot answer. */
export type Unanswered = { readonly asked: string; readonly error: ImageError };

const day = 24 * 60 * 60 * 1000;

/**
 * Removes all images that nothing of `keep` stands for or needs, and then what no image needs. The network is not asked. Images that
 * come or are used meanwhile stay.
 *
 * @returns the references that the store cannot answer, if there are any: then nothing is removed.
 * @throws USAGE if everything would be removed, and may not be; the reason of the signal, if it stops it before anything is removed
 */
export async function prune(
  store: Store,
  { keep, platform, nowMs, removesAll = false, dryRun = false, signal }: PruneRequest,
): Promise<PruneReport | { readonly unanswered: readonly Unanswered[] }> {
  const entries = await Array.fromAsync(listImages(store)); // before anything is looked up: what comes later is not in it
  const kept = createKept(store, platform);
  const unanswered: Unanswered[] = [];
  for (const one of keep) {
    signal?.throwIfAborted();
    try {
      const found = await ('locked' in one
        ? findLocked(store, one.asked, one.locked)
        : findAnswers(store, one.reference, { entries, platform, platforms: one.platforms }));
      await kept.add(found);
    } catch (error) {
      unanswered.push({ asked: one.asked, error: asImageError(error) });
    }
  }
  if (unanswered.length > 0) return { unanswered };
  const unneeded = entries.filter((entry) => !kept.has(entry));
  if (unneeded.length === entries.length && entries.length > 0 && !removesAll) {
    throw new ImageError('USAGE', `all ${entries.length} images of the store would be removed`, {});
  }
  const order = await dependentsFirst(store, unneeded, platform);
  signal?.throwIfAborted();
  const removed = dryRun
    ? order.map((entry) => ({ entry, bytes: entry.size }))
    : await Array.fromAsync(removeUnused(store, order, signal));
  const isStopped = signal?.aborted ?? false;
  const isLeft = store.readOnly || isStopped;
  const garbage = isLeft ? noGarbage : await store.collect({ nowMs, partialsOlderThanMs: day, dryRun });
  return {
    images: removed.map(({ entry }) => entry),
    kept: entries.length - removed.length,
    imageBytes: removed.reduce((sum, { bytes }) => sum + bytes, 0),
    garbage,
    isStopped,
  };
}

/** If the removal ends early, what is still listed has what it needs. */
async function dependentsFirst(store: Store, entries: readonly Entry[], platform: NodePlatform): Promise<Entry[]> {
  const byKey = new Map(entries.map((entry) => [entryKey(entry), entry]));
  const defaults = defaultLabels(new Map(), platform);
  const seen = new Set<Entry>();
  const order: Entry[] = [];
  const visit = async (entry: Entry): Promise<void> => {
    if (seen.has(entry)) return;
    seen.add(entry);
    for (const dependency of entry.kind === 'image' ? entry.image.dependencies : []) {
      const found = await findDependency(store, dependency, () => defaults);
      const next = found && byKey.get(found.imageId);
      if (next) await visit(next);
    }
    order.push(entry);
  };
  for (const entry of entries) await visit(entry);
  return order.reverse();
}

type Kept = {
  /** Adds images with all that they need. */
  add(images: readonly (StoredImage | RegistryImage)[]): Promise<void>;
  has(entry: Entry): boolean;
};

function createKept(store: Store, platform: NodePlatform): Kept {
  const keys = new Set<string>();
  const defaults = defaultLabels(new Map(), platform);
  return {
    async add(images) {
      const pending = [...images];
      for (let image = pending.pop(); image; image = pending.pop()) {
        const key = 'manifest' in image ? image.reference : image.imageId;
        if (keys.has(key)) continue;
        keys.add(key);
        if ('manifest' in image) {
          const archive = image.imageId && (await store.getImage(image.imageId));
          if (archive) pending.push(archive);
          continue;
        }
        for (const dependency of image.dependencies) {
          const found = await findDependency(store, dependency, () => defaults);
          if (found) pending.push(found); // one that was left out is not missed
        }
      }
    },
    has(entry) {
      const { imageId } = entry.image;
      return keys.has(entryKey(entry)) || (imageId !== undefined && keys.has(imageId));
    },
  };
}

/** The images that an entry of a lock has. @throws NOT_IN_STORE */
async function findLocked(
  store: Store,
  name: string,
  { imageID, digest, platforms }: LockedIds,
): Promise<readonly (StoredImage | RegistryImage)[]> {
  if (imageID !== undefined && isImageId(imageID)) {
    const image = await store.getImage(imageID);
    if (!image) throw notAnswered(name);
    return [image];
  }
  if (imageID !== undefined && isDigest(imageID)) {
    const images = await store.registryImagesOf(imageID);
    if (images.length === 0) throw notAnswered(name);
    return images;
  }
  const reference = parseRegistryReference(name);
  const archives = await store.imagesNamed(registryImageName(reference));
  const whole = (digest ? await store.registryImagesOf(digest) : []).filter((one) => one.platforms !== undefined);
  const found: (StoredImage | RegistryImage)[] = [];
  for (const manifest of Object.values(platforms ?? {})) {
    const images = [...(await store.registryImagesOf(manifest)), ...whole].filter((one) => isOf(reference, one));
    const made = archives.filter((one) => one.digest === manifest);
    if (images.length + made.length === 0) throw notAnswered(name);
    found.push(...images, ...made);
  }
  return found;
}
