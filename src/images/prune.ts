import { asImageError, hasCode, ImageError } from '../errors.ts';
import { type Digest, isDigest, parseDigest } from '../image/digest.ts';
import { isImageId } from '../image/image-id.ts';
import { defaultLabels, type NodePlatform } from '../image/labels.ts';
import { type PlatformChoice, runsOn } from '../image/platform.ts';
import { formatReference, type ImageReference, type NameReference } from '../image/reference.ts';
import { parseRegistryReference, registryImageName, type RegistryReference } from '../image/registry-reference.ts';
import { findExpected } from '../store/index/lookups.ts';
import type { RegistryImage } from '../store/registry-store.ts';
import type { Store, StoredImage } from '../store/store.ts';
import { type CollectReport, noGarbage, removeUnused } from './collect.ts';
import { findDependency } from './extract.ts';
import { type Entry, listImages, registryEntry } from './list.ts';
import { entryKey, resolveEntry } from './resolve-image.ts';

/** What has to stay: what a reference stands for in the store, or the images that a lock has. `asked` is for messages. */
export type ToKeep = { readonly asked: string } & (
  { readonly reference: ImageReference; readonly platforms: readonly PlatformChoice[] } | { readonly locked: LockedIds }
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

type Asking = {
  readonly entries: readonly Entry[];
  readonly platform: NodePlatform;
  readonly platforms: readonly PlatformChoice[];
};

/** What a reference stands for in the store. @throws NOT_IN_STORE, ID_AMBIGUOUS */
async function findAnswers(
  store: Store,
  reference: ImageReference,
  { entries, platform, platforms }: Asking,
): Promise<readonly (StoredImage | RegistryImage)[]> {
  switch (reference.kind) {
    case 'name':
      return [await findNamed(store, reference, platform)];
    case 'file': {
      const found = entries.filter(({ source }) => source === reference.path);
      if (found.length === 0) throw notInStore(reference.path);
      return found.map(({ image }) => image);
    }
    case 'registry':
      return findRegistryImages(store, reference, platforms);
    case 'url':
    case 'id': {
      const asked = formatReference(reference);
      const ofDigest = isDigest(asked) ? await store.registryImagesOf(asked) : [];
      if (ofDigest.length > 0) return ofDigest;
      return [(await resolveEntry(store, asked)).image];
    }
  }
}

/** The image that a fetch would find. */
async function findNamed(
  store: Store,
  { name, labels, text }: NameReference,
  platform: NodePlatform,
): Promise<StoredImage> {
  const all = defaultLabels(labels, platform);
  const defaults = new Map([...all].filter(([label]) => !labels.has(label)));
  const found = await findExpected(store, { name, labels, defaults });
  if (!found) throw notInStore(text);
  return found;
}

/** The image of a reference for each of the platforms, or for all that are there if none are given. */
async function findRegistryImages(
  store: Store,
  reference: RegistryReference,
  platforms: readonly PlatformChoice[],
): Promise<readonly (StoredImage | RegistryImage)[]> {
  const asked = formatReference(reference);
  const entry = await resolveEntry(store, asked).catch((error: unknown) => {
    if (hasCode(error, 'NOT_IN_STORE')) return findOfDigest(store, reference, error);
    throw error;
  });
  if (entry.kind === 'image') return findArchives(store, reference, entry.image);
  const named = entry.image;
  const index = named.platforms ? named.manifest : named.index;
  const siblings = index ? await store.registryImagesOf(index.digest) : [];
  const ofRepository = siblings.filter((one) => isOf(reference, one));
  const missing = platforms.filter((platform) => ![named, ...ofRepository].some((one) => answers(one, platform)));
  if (missing.length > 0) throw notInStore(asked);
  const fitting = ofRepository.filter(
    (one) => platforms.length === 0 || platforms.some((platform) => answers(one, platform)),
  );
  return [named, ...fitting]; // the name leads to the others
}

/** An image that a tag brought, where it is asked for by its digest. @throws notFound */
async function findOfDigest(store: Store, reference: RegistryReference, notFound: ImageError): Promise<Entry> {
  const { digest } = reference;
  const images = digest === undefined ? [] : await store.registryImagesOf(parseDigest(digest));
  const image = images.find((one) => isOf(reference, one));
  if (!image) throw notFound;
  return registryEntry(image);
}

function isOf({ host, repository }: RegistryReference, { reference }: RegistryImage): boolean {
  return reference.startsWith(`${host}/${repository}@`) || reference.startsWith(`${host}/${repository}:`);
}

function answers({ platform, platforms, index }: RegistryImage, choice: PlatformChoice): boolean {
  if (platforms) return true;
  return choice === 'all' ? index === undefined : index === undefined || runsOn(platform, choice);
}

/** The archives that were made of an image, for all platforms. */
async function findArchives(
  store: Store,
  { tag, digest }: RegistryReference,
  { name }: StoredImage,
): Promise<readonly StoredImage[]> {
  const named = await store.imagesNamed(name);
  return named.filter((one) => (digest === undefined ? one.labels.get('version') === tag : one.digest === digest));
}

/** The images that an entry of a lock has. @throws NOT_IN_STORE */
async function findLocked(
  store: Store,
  name: string,
  { imageID, digest, platforms }: LockedIds,
): Promise<readonly (StoredImage | RegistryImage)[]> {
  if (imageID !== undefined && isImageId(imageID)) {
    const image = await store.getImage(imageID);
    if (!image) throw notInStore(name);
    return [image];
  }
  if (imageID !== undefined && isDigest(imageID)) {
    const images = await store.registryImagesOf(imageID);
    if (images.length === 0) throw notInStore(name);
    return images;
  }
  const reference = parseRegistryReference(name);
  const archives = await store.imagesNamed(registryImageName(reference));
  const whole = (digest ? await store.registryImagesOf(digest) : []).filter((one) => one.platforms !== undefined);
  const found: (StoredImage | RegistryImage)[] = [];
  for (const manifest of Object.values(platforms ?? {})) {
    const images = [...(await store.registryImagesOf(manifest)), ...whole].filter((one) => isOf(reference, one));
    const made = archives.filter((one) => one.digest === manifest);
    if (images.length + made.length === 0) throw notInStore(name);
    found.push(...images, ...made);
  }
  return found;
}

function notInStore(asked: string): ImageError<'NOT_IN_STORE'> {
  return new ImageError('NOT_IN_STORE', 'the store has no such image, so that it is not known what it needs', {
    asked,
  });
}
