import type { RegistryImage } from '../store/registry-store.ts';
import type { Store } from '../store/store.ts';
import { readDocument } from './registry-document.ts';
import { readParts, type RegistryParts } from './registry-parts.ts';

export type RegistryDescription = RegistryParts & {
  readonly image: RegistryImage;
  /** All that name this manifest, its own among them. */
  readonly references: readonly string[];
  /** The JSON text as the registry served it. */
  readonly manifest: string;
};

/** Everything the store knows of a registry's image. @throws STORE_CORRUPT when its manifest is damaged */
export async function describeRegistryImage(store: Store, image: RegistryImage): Promise<RegistryDescription> {
  const { digest } = image.manifest;
  const [parts, manifest, named] = await Promise.all([
    readParts(store, image.manifest),
    readDocument(store, digest),
    store.registryImagesOf(digest),
  ]);
  return { ...parts, image, references: named.map(({ reference }) => reference), manifest: manifest.toString() };
}
