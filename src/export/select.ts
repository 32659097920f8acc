import { asImageError, ImageError } from '../errors.ts';
import { shortImageId } from '../image/image-id.ts';
import { defaultLabels, type NodePlatform } from '../image/labels.ts';
import type { PlatformChoice } from '../image/platform.ts';
import { type ImageReference, withoutSecrets } from '../image/reference.ts';
import { show } from '../image/show.ts';
import { findDependency } from '../images/extract.ts';
import { findAnswers } from '../images/find-answers.ts';
import { type Entry, listImages } from '../images/list.ts';
import { isRegistryImage, resolveEntry } from '../images/resolve-image.ts';
import type { RegistryImage } from '../store/registry-store.ts';
import type { Store, StoredImage } from '../store/store.ts';

/** The images of an export, each once. */
export type Selection = { readonly images: readonly RegistryImage[]; readonly archives: readonly StoredImage[] };

/** An image that is asked for, for messages as `asked`: by its name in the store, or by an entry of a list, as a fetch would read it. */
export type Wanted = { readonly asked: string } & (
  | { readonly kind: 'named' }
  | { readonly kind: 'listed'; readonly reference: ImageReference; readonly platforms: readonly PlatformChoice[] }
);

export type SelectRequest = {
  readonly wanted: readonly Wanted[];
  /** Every image of the store as well. */
  readonly all: boolean;
  /** Whether archives (ACIs) are exported. Otherwise one that is named fails, and others are left out. */
  readonly takesArchives: boolean;
  /** For which dependencies are chosen, as in a fetch. */
  readonly platform: NodePlatform;
};

type Selected = {
  readonly selection: Selection;
  /** The images that the store does not have. */
  readonly failures: readonly { readonly asked: string; readonly error: ImageError }[];
  readonly warnings: readonly string[];
};

/**
 * Finds images in the store, with the archives that archives depend on. A registry image stands for the archive that was made of it,
 * since the archive can be made again.
 */
export async function select(
  store: Store,
  { wanted, all, takesArchives, platform }: SelectRequest,
  signal: AbortSignal,
): Promise<Selected> {
  const images = new Map<string, RegistryImage>();
  const archives = new Map<string, StoredImage>();
  const failures: { asked: string; error: ImageError }[] = [];
  let skipped = 0;
  const take = async (image: StoredImage | RegistryImage): Promise<'taken' | 'archive'> => {
    const registryImages = isRegistryImage(image) ? [image] : await store.registryImagesOf(image.imageId);
    for (const one of registryImages) images.set(one.reference, one);
    if (isRegistryImage(image) || registryImages.length > 0) return 'taken';
    if (takesArchives) archives.set(image.imageId, image);
    return takesArchives ? 'taken' : 'archive';
  };
  let entries: readonly Entry[] | undefined;
  const find = async (one: Wanted): Promise<readonly (StoredImage | RegistryImage)[]> => {
    if (one.kind === 'named') return [(await resolveEntry(store, one.asked)).image];
    const { reference, platforms } = one;
    entries ??= reference.kind === 'file' ? await Array.fromAsync(listImages(store)) : undefined;
    return findAnswers(store, reference, { entries: entries ?? [], platform, platforms });
  };
  for (const one of wanted) {
    signal.throwIfAborted();
    try {
      for (const image of await find(one)) {
        if ((await take(image)) === 'taken') continue;
        if (one.kind === 'named') throw archiveError(one.asked);
        skipped += 1;
      }
    } catch (error) {
      failures.push({ asked: one.asked, error: asImageError(error) });
    }
  }
  if (all) {
    for await (const { image } of listImages(store)) {
      signal.throwIfAborted();
      if ((await take(image)) === 'archive') skipped += 1;
    }
  }
  const missing = await addDependencies(store, archives, platform, signal);
  const left =
    skipped === 0 ? [] : [`${skipped} archives (ACIs) are left out: the format takes images of registries only`];
  const selection = { images: [...images.values()], archives: [...archives.values()] };
  return { selection, failures, warnings: [...left, ...missing] };
}

function archiveError(asked: string): ImageError {
  const message = 'it is an archive (ACI), which the format does not take, and the store has no registry image of it';
  return new ImageError('NOT_IN_STORE', message, { asked: withoutSecrets(asked), of: 'archives-only' });
}

/** Adds what archives depend on, at any depth. @returns what the store does not have of it */
async function addDependencies(
  store: Store,
  archives: Map<string, StoredImage>,
  platform: NodePlatform,
  signal: AbortSignal,
): Promise<readonly string[]> {
  if (archives.size === 0) return [];
  const defaults = defaultLabels(new Map(), platform);
  const missing: string[] = [];
  const pending = [...archives.values()];
  for (let image = pending.pop(); image; image = pending.pop()) {
    signal.throwIfAborted();
    for (const dependency of image.dependencies) {
      const found = await findDependency(store, dependency, () => defaults);
      if (!found)
        missing.push(`${shortImageId(image.imageId)} needs ${show(dependency.imageName)}, which is not in the store`);
      if (!found || archives.has(found.imageId)) continue;
      archives.set(found.imageId, found);
      pending.push(found);
    }
  }
  return missing;
}
