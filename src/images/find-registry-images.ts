import { ImageError } from '../errors.ts';
import type { Digest } from '../image/digest.ts';
import { formatReference, type RegistryReference } from '../image/reference.ts';
import { registryImageName } from '../image/registry-image-name.ts';
import type { RegistryImage } from '../store/registry-store.ts';
import type { Store, StoredImage } from '../store/store.ts';
import { imageEntry, registryEntry, type Entry } from './entry.ts';

/** Whether a text is a digest or the beginning of one, which could as well be a name and a version. */
export function isDigestPrefix(text: string): boolean {
  return /^sha256:[0-9a-f]*$/i.test(text);
}

/** What `docker://…` means: the image as it came, or, when it was not kept, the one that was made of it. */
export async function findByRegistryReference(store: Store, reference: RegistryReference): Promise<Entry | undefined> {
  const image = await findKept(store, reference);
  if (image) return registryEntry(image);
  const made = await findMade(store, reference);
  return made && imageEntry(made);
}

/** Where a tag and a digest are named, the digest decides. */
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

async function findMade(store: Store, reference: RegistryReference): Promise<StoredImage | undefined> {
  const { tag, digest } = reference;
  const name = registryImageName(reference);
  if (digest !== undefined) return (await store.imagesNamed(name)).find((image) => image.digest === digest);
  return store.findImage(name, new Map(tag === undefined ? [] : [['version', tag]]));
}

/**
 * The one image that a digest, or the beginning of one, means. It may have several references.
 *
 * @throws NOT_IN_STORE, ID_TOO_SHORT; ID_AMBIGUOUS, also for an index of which several platforms are kept.
 */
export async function findByDigest(store: Store, prefix: string): Promise<Entry | undefined> {
  const images = await findAllByDigest(store, prefix);
  const candidates = [...new Set(images.map(({ id }) => id))];
  if (candidates.length > 1) {
    const message = `several images are of that index: ${candidates.join(', ')}`;
    throw new ImageError('ID_AMBIGUOUS', message, { asked: prefix, candidates });
  }
  return images[0];
}

export async function findAllByDigest(store: Store, prefix: string): Promise<readonly Entry[]> {
  return (await store.registryImagesOf(await store.resolveDigest(prefix))).map(registryEntry);
}

/** The document that was asked for: an index or a derived manifest by its digest, else the manifest. */
export async function askedDocument(store: Store, asked: string, image: RegistryImage): Promise<Digest> {
  const [, named] = /@(sha256:[0-9a-f]{64})$/.exec(asked) ?? [];
  const digest = isDigestPrefix(asked) ? await store.resolveDigest(asked) : named;
  return documentsOf(image).find((document) => document === digest) ?? image.manifest.digest;
}

function documentsOf({ manifest, index, oci }: RegistryImage): readonly Digest[] {
  return [manifest, index, oci].flatMap((one) => (one ? [one.digest] : []));
}
