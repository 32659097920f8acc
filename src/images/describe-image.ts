import { isImageError } from '../errors.ts';
import type { Dependency } from '../image/manifest.ts';
import type { Store, StoredImage } from '../store/store.ts';

/** One dependency of an image, and what the store has for it. */
export type StoredDependency = { readonly dependency: Dependency; readonly image: StoredImage | undefined };

export type ImageDescription = {
  readonly image: StoredImage;
  readonly dependencies: readonly StoredDependency[];
  /** The JSON text as it stood in the archive. */
  readonly manifest: string;
};

/** Everything the store knows of an image. Dependencies are looked up as the manifest states them, pins first. */
export async function describeImage(store: Store, image: StoredImage): Promise<ImageDescription> {
  const manifest = await store.manifest(image.imageId);
  const dependencies = await Promise.all(
    image.dependencies.map(async (dependency) => ({ dependency, image: await findDependency(store, dependency) })),
  );
  return { image, dependencies, manifest };
}

async function findDependency(
  store: Store,
  { imageName, imageId, labels }: Dependency,
): Promise<StoredImage | undefined> {
  if (imageId === undefined) return store.findImage(imageName, labels);
  try {
    return await store.getImage(await store.resolveId(imageId));
  } catch (error) {
    if (isImageError(error) && ['NOT_IN_STORE', 'ID_AMBIGUOUS', 'ID_TOO_SHORT'].includes(error.code)) return undefined;
    throw error;
  }
}
