import { ImageError } from '../errors.ts';
import { matchLabels } from '../image/labels.ts';
import { parseReference, type ImageReference, type NameReference } from '../image/reference.ts';
import { parseRegistryReference } from '../image/registry-reference.ts';
import { show } from '../image/show.ts';
import type { RegistryImage } from '../store/registry-store.ts';
import type { Store, StoredImage } from '../store/store.ts';
import { imageEntry, registryEntry, type Entry } from './entry.ts';
import { findAllByDigest, findByDigest, findByRegistryReference, isDigestPrefix } from './find-registry-images.ts';

/**
 * The one thing that an IMAGE argument means: an ID, a digest, or a unique prefix of one; a name with optional labels
 * (the best match; no os or arch is added), the URL it was fetched from, or the reference of a registry's image.
 *
 * @throws REFERENCE_INVALID, NOT_IN_STORE, ID_AMBIGUOUS, ID_TOO_SHORT
 */
export async function resolveEntry(store: Store, asked: string): Promise<Entry> {
  return (await lookUp(store, asked)) ?? notInStore(asked);
}

/** As resolveEntry, but a name means all that has it and the labels given with it, a digest all references. Never empty. */
export async function resolveEntries(store: Store, asked: string): Promise<readonly Entry[]> {
  const entries = await lookUpAll(store, asked);
  return entries.length === 0 ? notInStore(asked) : entries;
}

/** As resolveEntry; of a registry's image, the one that was made of it. @throws NOT_IN_STORE when none was, too. */
export async function resolveImage(store: Store, asked: string): Promise<StoredImage> {
  return requireImage(store, await resolveEntry(store, asked));
}

/** @throws NOT_IN_STORE for a registry's image of which none was made. */
export async function requireImage(store: Store, entry: Entry): Promise<StoredImage> {
  if (entry.kind === 'image') return entry.image;
  const { imageId, reference } = entry.image;
  const made = imageId && (await store.getImage(imageId));
  if (made) return made;
  const message = `${reference} is kept as the registry served it, and no image (ACI) was made of it`;
  throw new ImageError('NOT_IN_STORE', message, { asked: reference });
}

/** The image of a registry that an entry is, or was made of. @throws NOT_IN_STORE when none is kept */
export async function requireRegistryImage(store: Store, entry: Entry): Promise<RegistryImage> {
  if (entry.kind === 'registry') return entry.image;
  const [image] = await store.registryImagesOf(entry.id);
  if (image) return image;
  const message = 'the store keeps no image of a registry that it was made of';
  throw new ImageError('NOT_IN_STORE', message, { asked: entry.id });
}

async function lookUp(store: Store, asked: string): Promise<Entry | undefined> {
  if (isDigestPrefix(asked)) return findByDigest(store, asked);
  const reference = parse(asked);
  switch (reference.kind) {
    case 'id':
      return listed(await store.getImage(await store.resolveId(reference.prefix)));
    case 'name':
      return listed(await store.findImage(reference.name, reference.labels)) ?? findListed(store, asked);
    case 'url': {
      const remote = await store.getRemote(reference.url);
      return listed(remote && (await store.getImage(remote.imageId)));
    }
    case 'registry':
      return findByRegistryReference(store, reference);
    case 'file':
      throw new ImageError('REFERENCE_INVALID', 'images of the store are asked for by ID, name or URL', {
        input: asked,
      });
  }
}

async function lookUpAll(store: Store, asked: string): Promise<readonly Entry[]> {
  if (isDigestPrefix(asked)) return findAllByDigest(store, asked);
  const reference = parse(asked);
  if (reference.kind === 'name') return findNamed(store, asked, reference);
  const entry = await lookUp(store, asked);
  return entry ? [entry] : [];
}

async function findNamed(store: Store, asked: string, { name, labels }: NameReference): Promise<readonly Entry[]> {
  const found = (await store.imagesNamed(name)).map(imageEntry);
  for await (const image of store.registryImages()) {
    const entry = registryEntry(image);
    if (entry.name === name || image.reference === asked) found.push(entry);
  }
  return found.filter((entry) => isListedAs(entry, asked) || matchLabels(labels, entry.labels));
}

function listed(image: StoredImage | undefined): Entry | undefined {
  return image && imageEntry(image);
}

/** A reference as `image list` shows it: without a scheme. */
async function findListed(store: Store, asked: string): Promise<Entry | undefined> {
  const image = await store.findRegistryImage(asked);
  return image && registryEntry(image);
}

function isListedAs(entry: Entry, asked: string): boolean {
  return entry.kind === 'registry' && entry.image.reference === asked;
}

/** What no name has: the port of a registry, or a digest. */
const onlyRegistry = /^[^/:]+:\d+\/|^[^:@]+@sha256:/;

/** A file of the working directory is not what is meant here, so none is looked for. */
function parse(asked: string): ImageReference {
  if (onlyRegistry.test(asked)) return parseRegistryReference(asked); // as `image list` shows it
  return parseReference(asked, { type: 'guess', directory: '/', isFile: () => false });
}

function notInStore(asked: string): never {
  throw new ImageError('NOT_IN_STORE', `no image of the store is ${show(asked)}`, { asked });
}
