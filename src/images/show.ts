import { isImageError } from '../errors.ts';
import type { Dependency } from '../image/manifest.ts';
import type { Proof } from '../image/proof.ts';
import type { RegistryImage } from '../store/registry-store.ts';
import type { Store, StoredImage } from '../store/store.ts';
import type { Entry } from './list.ts';
import { type IndexedManifest, readDocument, readIndex, readParts, type RegistryParts } from './registry-image.ts';
import { askedDocument } from './resolve-image.ts';

/** One dependency of an image, and the image in the store that satisfies it. */
export type StoredDependency = { readonly dependency: Dependency; readonly image: StoredImage | undefined };

export type ImageDescription = {
  readonly image: StoredImage;
  readonly dependencies: readonly StoredDependency[];
  /** The registry images that it was made of, as far as they are kept too. */
  readonly madeOf: readonly RegistryImage[];
  /** What made it trusted. */
  readonly proofs: readonly Proof[];
  /** The JSON text as in the archive. */
  readonly manifest: string;
};

/** Everything the store knows of an image. A dependency is looked up by its pin, or by name and labels. */
export async function describeImage(store: Store, image: StoredImage): Promise<ImageDescription> {
  const manifest = await store.manifest(image.imageId);
  const dependencies = await Promise.all(
    image.dependencies.map(async (dependency) => ({ dependency, image: await findDependency(store, dependency) })),
  );
  const madeOf = await store.registryImagesOf(image.imageId);
  return { image, dependencies, madeOf, proofs: await store.proofsOf(image.imageId), manifest };
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

export type RegistryDescription = Partial<RegistryParts> & {
  readonly image: RegistryImage;
  /** Of an index that is kept with everything in it, instead of configuration and layers: what it names. */
  readonly manifests?: readonly IndexedManifest[];
  /** All references of this manifest, including that of the image. */
  readonly references: readonly string[];
  /** What made it trusted. */
  readonly proofs: readonly Proof[];
  /** The JSON text as the registry served it. */
  readonly manifest: string;
};

/** Everything the store knows of a registry image. @throws STORE_CORRUPT when its manifest is damaged */
export async function describeRegistryImage(store: Store, image: RegistryImage): Promise<RegistryDescription> {
  const { digest } = image.manifest;
  const [parts, manifest, named, proofs] = await Promise.all([
    image.platforms
      ? readIndex(store, image.manifest).then((manifests = []) => ({ manifests }))
      : readParts(store, image.manifest),
    readDocument(store, digest),
    store.registryImagesOf(digest),
    store.proofsOf(image.reference),
  ]);
  const references = named.map(({ reference }) => reference);
  return { ...parts, image, references, proofs, manifest: manifest.toString() };
}

/** `asked` may be the digest of an index or derived manifest of a registry image. `pretty` indents with tabs. */
type CatManifestOptions = { readonly asked?: string; readonly pretty?: boolean };

/** The manifest's JSON text as in the archive, or as the registry served it. */
export async function catManifest(
  store: Store,
  entry: Entry,
  { asked = entry.id, pretty = false }: CatManifestOptions = {},
): Promise<string> {
  const text =
    entry.kind === 'image'
      ? await store.manifest(entry.id)
      : (await readDocument(store, await askedDocument(store, asked, entry.image))).toString();
  return pretty ? JSON.stringify(JSON.parse(text), undefined, '\t') : text;
}
