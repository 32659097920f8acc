import { hasCode, ImageError } from '../errors.ts';
import { isDigest, parseDigest } from '../image/digest.ts';
import { defaultLabels, type NodePlatform } from '../image/labels.ts';
import { type PlatformChoice, runsOn } from '../image/platform.ts';
import { formatReference, type ImageReference, type NameReference, withoutSecrets } from '../image/reference.ts';
import type { RegistryReference } from '../image/registry-reference.ts';
import { findExpected } from '../store/index/lookups.ts';
import type { RegistryImage } from '../store/registry-store.ts';
import type { Store, StoredImage } from '../store/store.ts';
import { type Entry, registryEntry } from './list.ts';
import { resolveEntry } from './resolve-image.ts';

type Asking = {
  /** All images of the store. */
  readonly entries: readonly Entry[];
  readonly platform: NodePlatform;
  readonly platforms: readonly PlatformChoice[];
};

/** What a reference stands for in the store, as `fetch --store-only` would answer it. @throws NOT_IN_STORE, ID_AMBIGUOUS */
export async function findAnswers(
  store: Store,
  reference: ImageReference,
  { entries, platform, platforms }: Asking,
): Promise<readonly (StoredImage | RegistryImage)[]> {
  switch (reference.kind) {
    case 'name':
      return [await findNamed(store, reference, platform)];
    case 'file': {
      const found = entries.filter(({ source }) => source === reference.path);
      if (found.length === 0) throw notAnswered(reference.path);
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
  if (!found) throw notAnswered(text);
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
  if (missing.length > 0) throw notAnswered(asked);
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

export function isOf({ host, repository }: RegistryReference, { reference }: RegistryImage): boolean {
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

/** The error for what the store cannot answer. */
export function notAnswered(asked: string): ImageError<'NOT_IN_STORE'> {
  return new ImageError('NOT_IN_STORE', 'the store has no such image, so that it is not known what it needs', {
    asked: withoutSecrets(asked),
  });
}
