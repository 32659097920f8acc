import { hasCode, ImageError } from '../errors.ts';
import type { Digest } from '../image/digest.ts';
import { matchLabels } from '../image/labels.ts';
import {
  formatReference,
  type ImageReference,
  type NameReference,
  type Names,
  parseReference,
  withoutSecrets,
} from '../image/reference.ts';
import { parseRegistryReference, registryImageName, type RegistryReference } from '../image/registry-reference.ts';
import { show } from '../image/show.ts';
import type { RegistryImage } from '../store/registry-store.ts';
import type { Store, StoredImage } from '../store/store.ts';
import { type Entry, imageEntry, registryEntry } from './list.ts';

/**
 * The entry that an IMAGE argument stands for: an ID, a digest, or a unique prefix of one; a name with optional labels
 * (the best match; no os or arch is added); the URL it was fetched from; or a registry reference.
 *
 * @throws REFERENCE_INVALID, NOT_IN_STORE, ID_AMBIGUOUS, ID_TOO_SHORT
 */
export async function resolveEntry(store: Store, asked: string): Promise<Entry> {
  return (await lookUp(store, asked)) ?? notInStore(asked);
}

/**
 * As resolveEntry, but a name matches all images with it and the given labels, and a digest matches all its references.
 * An image that registry images were converted to stands for these. Never empty.
 */
export async function resolveEntries(store: Store, asked: string): Promise<readonly Entry[]> {
  const entries = await lookUpAll(store, asked);
  if (entries.length === 0) notInStore(asked);
  const whole = new Map<string, Entry>();
  for (const entry of entries) {
    const from = entry.kind === 'image' ? (await store.registryImagesOf(entry.id)).map(registryEntry) : [];
    for (const one of from.length > 0 ? from : [entry]) whole.set(entryKey(one), one);
  }
  return [...whole.values()];
}

/** Identifies an entry: several registry references may have the same digest. */
export function entryKey(entry: Entry): string {
  return entry.kind === 'image' ? entry.id : entry.image.reference;
}

/** As resolveEntry, but for a registry image gives the image that it was converted to, if that is there. */
export async function resolveImage(store: Store, asked: string): Promise<StoredImage | RegistryImage> {
  return preferArchive(store, await resolveEntry(store, asked));
}

/** The archive of an entry; the registry image if there is none. */
export async function preferArchive(store: Store, { image }: Entry): Promise<StoredImage | RegistryImage> {
  if (!isRegistryImage(image)) return image;
  return (image.imageId && (await store.getImage(image.imageId))) ?? image;
}

export function isRegistryImage(image: StoredImage | RegistryImage): image is RegistryImage {
  return 'manifest' in image;
}

/** The registry image of an entry, or the one that it was converted from. @throws NOT_IN_STORE when it is not kept */
export async function requireRegistryImage(store: Store, entry: Entry): Promise<RegistryImage> {
  if (entry.kind === 'registry') return entry.image;
  const [image] = await store.registryImagesOf(entry.id);
  if (image) return image;
  const message = 'the store does not have the registry image that it was converted from';
  throw new ImageError('NOT_IN_STORE', message, { asked: entry.id });
}

/** The blobs of entries: images, also those that registry images were converted to, and the digests of other blobs. */
export async function blobsOf(
  store: Store,
  entries: Iterable<Entry>,
): Promise<{ readonly images: readonly StoredImage[]; readonly digests: ReadonlySet<Digest> }> {
  const images = new Map<string, StoredImage>();
  const digests = new Set<Digest>();
  for (const entry of entries) {
    const { imageId } = entry.image;
    const image = entry.kind === 'image' ? entry.image : imageId && (await store.getImage(imageId));
    if (image) images.set(image.imageId, image);
    if (image?.archive) digests.add(image.archive.digest);
    if (entry.kind === 'registry') for (const digest of entry.image.blobs) digests.add(digest);
  }
  return { images: [...images.values()], digests };
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
      throw notOfStore(asked);
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

/** Finds a reference without a scheme, as `image list` shows it. */
async function findListed(store: Store, asked: string): Promise<Entry | undefined> {
  const image = await store.findRegistryImage(asked);
  return image && registryEntry(image);
}

function isListedAs(entry: Entry, asked: string): boolean {
  return entry.kind === 'registry' && entry.image.reference === asked;
}

/** Contains the port of a registry or a digest, so it is not an image name. */
const onlyRegistry = /^[^/:]+:\d+\/|^[^:@]+@sha256:/;

/**
 * Checks that a text may stand for an image of the store.
 *
 * @param names - what a name is. @returns how it is to be read. @throws REFERENCE_INVALID
 */
export function checkAsked(asked: string, names: Names): 'guess' | 'docker' {
  if (isDigestPrefix(asked)) return 'guess';
  const { kind } = parse(asked, names);
  if (kind === 'file') throw notOfStore(asked);
  return kind === 'registry' ? 'docker' : 'guess';
}

function notOfStore(asked: string): ImageError {
  return new ImageError('REFERENCE_INVALID', 'images of the store are asked for by ID, name or URL', { input: asked });
}

/** Does not look for files in the working directory. */
function parse(asked: string, names: Names = 'discovery'): ImageReference {
  if (onlyRegistry.test(asked)) return parseRegistryReference(asked); // as `image list` shows it
  try {
    return parseReference(asked, { directory: '/', isFile: () => false, names });
  } catch (error) {
    if (!hasCode(error, 'REFERENCE_INVALID') || error.details.didYouMean === undefined) throw error;
    return parseRegistryReference(asked); // no archive has such a name
  }
}

function notInStore(asked: string): never {
  const message = `no image of the store is ${show(withoutSecrets(asked))}`;
  throw new ImageError('NOT_IN_STORE', message, { asked: withoutSecrets(asked) });
}

/** Whether a text is a digest or a prefix of one. It could also be a name with a version. */
function isDigestPrefix(text: string): boolean {
  return /^sha256:[0-9a-f]*$/i.test(text);
}

/** Finds the registry image, or, when it was not kept, the image that it was converted to. */
async function findByRegistryReference(store: Store, reference: RegistryReference): Promise<Entry | undefined> {
  const image = await findKept(store, reference);
  if (image) return registryEntry(image);
  const made = await findConverted(store, reference);
  return made && imageEntry(made);
}

/** When the reference has a tag and a digest, the digest decides. */
async function findKept(store: Store, reference: RegistryReference): Promise<RegistryImage | undefined> {
  const { host, repository, tag, digest } = reference;
  const name = `${host}/${repository}`;
  const exact = await store.findRegistryImage(formatReference(reference).slice('docker://'.length));
  if (exact || digest === undefined) return exact;
  const tagged = tag === undefined ? undefined : await store.findRegistryImage(`${name}:${tag}`);
  return tagged && documentsOf(tagged).some((document) => document === digest)
    ? tagged
    : store.findRegistryImage(`${name}@${digest}`);
}

async function findConverted(store: Store, reference: RegistryReference): Promise<StoredImage | undefined> {
  const { tag, digest } = reference;
  const name = registryImageName(reference);
  if (digest !== undefined) return (await store.imagesNamed(name)).find((image) => image.digest === digest);
  return store.findImage(name, new Map(tag === undefined ? [] : [['version', tag]]));
}

/**
 * The image that a digest or a prefix of one stands for. It may have several references.
 *
 * @throws NOT_IN_STORE, ID_TOO_SHORT; ID_AMBIGUOUS, also for an index of which several platforms are kept.
 */
async function findByDigest(store: Store, prefix: string): Promise<Entry | undefined> {
  const images = await findAllByDigest(store, prefix);
  const candidates = [...new Set(images.map(({ id }) => id))];
  if (candidates.length > 1) {
    const message = `several images belong to this index: ${candidates.join(', ')}`;
    throw new ImageError('ID_AMBIGUOUS', message, { asked: prefix, candidates });
  }
  return images[0];
}

async function findAllByDigest(store: Store, prefix: string): Promise<readonly Entry[]> {
  return (await store.registryImagesOf(await store.resolveDigest(prefix))).map(registryEntry);
}

/** The requested document: an index or a derived manifest by its digest, otherwise the manifest. */
export async function askedDocument(store: Store, asked: string, image: RegistryImage): Promise<Digest> {
  const [, named] = /@(sha256:[0-9a-f]{64})$/.exec(asked) ?? [];
  const digest = isDigestPrefix(asked) ? await store.resolveDigest(asked) : named;
  return documentsOf(image).find((document) => document === digest) ?? image.manifest.digest;
}

function documentsOf({ manifest, index, oci }: RegistryImage): readonly Digest[] {
  return [manifest, index, oci].flatMap((descriptor) => (descriptor ? [descriptor.digest] : []));
}
