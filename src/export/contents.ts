import { blobFile } from '../bundle/bundle.ts';
import type { Digest } from '../image/digest.ts';
import { type ImagesContext, inParallel, type ListedBlob } from '../images/check-blob.ts';
import { readTree } from '../images/registry-image.ts';
import {
  asJson,
  containerdName,
  type DockerEntry,
  dockerParts,
  indexEntries,
  type IndexEntry,
  layoutHead,
  refName,
} from '../images/registry-layout.ts';
import type { RegistryImage, StoredDescriptor } from '../store/registry-store.ts';

/** A file of an export. */
export type ExportFile = { readonly name: string; readonly content: Uint8Array | ListedBlob | ProofContent };

/** The bytes of a proof of an image, which are read when their turn has come. */
export type ProofContent = {
  readonly digest: Digest;
  readonly size: number;
  /** As the store's `proofsOf` takes it. */
  readonly ofImage: string;
};

/** What an export consists of, in the order in which it is written. */
export type Contents = {
  readonly files: readonly ExportFile[];
  /** What the format cannot express. */
  readonly warnings: readonly string[];
};

/** Images that are read in parallel. */
export const width = 4;

/** The parts of registry images. */
type Parts = {
  /** Of index.json, by name and digest. */
  readonly entries: readonly IndexEntry[];
  /** The sizes of manifests and indexes, which come first. */
  readonly documents: ReadonlyMap<Digest, number>;
  /** The sizes of all other blobs. */
  readonly blobs: ReadonlyMap<Digest, number>;
};

/**
 * The parts of images with all that is attached to them.
 *
 * @param more - further documents of an image, with all that they name.
 * @throws STORE_CORRUPT
 */
export async function partsOf(
  { store }: ImagesContext,
  images: readonly RegistryImage[],
  more: (image: RegistryImage) => readonly StoredDescriptor[],
  signal: AbortSignal,
): Promise<Parts> {
  const entries = new Map<string, IndexEntry>();
  const documents = new Map<Digest, number>();
  const blobs = new Map<Digest, number>();
  const visit = async (image: RegistryImage): Promise<void> => {
    const { manifest, oci = manifest, referrers = [] } = image;
    for (const entry of indexEntries(image, referrers)) entries.set(keyOf(entry), entry);
    for (const root of [oci, ...referrers, ...more(image)]) {
      if (documents.has(root.digest)) continue; // another image has it, and all that it names
      for (const { digest, size, isDocument } of await readTree(store, root))
        (isDocument ? documents : blobs).set(digest, size);
    }
  };
  await inParallel(images, width, visit, signal);
  for (const digest of documents.keys()) blobs.delete(digest);
  const sorted = [...entries].toSorted(byKey).map(([, entry]) => entry);
  return { entries: sorted, documents, blobs };
}

/** Images come first: some programs take the first entry. */
function keyOf({ digest, annotations = {} }: IndexEntry): string {
  const name = annotations[refName];
  if (name === undefined) return `1 ${digest}`;
  return containerdName in annotations ? `0 ${name} ${digest}` : `2 ${name} ${digest}`; // what is attached by a tag
}

/** Blobs as files, sorted by their names. */
export function blobFiles(blobs: ReadonlyMap<Digest, number>): readonly ExportFile[] {
  return [...blobs].toSorted(byKey).map(([id, size]) => ({ name: blobFile(id), content: { id, size } }));
}

/** Compares by the UTF-16 units of the keys, which does not depend on the locale. */
export function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : Number(a > b);
}

/**
 * An OCI archive of images under their references, with what is attached to them. Of an image that was chosen from an index it has the
 * manifest, but not the index, since the other manifests of that are missing.
 *
 * @throws STORE_CORRUPT
 */
export async function ociContents(
  context: ImagesContext,
  images: readonly RegistryImage[],
  signal: AbortSignal,
): Promise<Contents> {
  const { entries, documents, blobs } = await partsOf(context, images, () => [], signal);
  return { files: [...layoutHead(entries), ...blobFiles(documents), ...blobFiles(blobs)], warnings: [] };
}

/**
 * An archive of images as `docker save` writes it, each for this machine, with each layer once. An image with several references is
 * there once, with all of its tags.
 *
 * @throws STORE_CORRUPT; PLATFORM_MISSING
 */
export async function dockerContents(
  { store }: ImagesContext,
  images: readonly RegistryImage[],
  signal: AbortSignal,
): Promise<Contents> {
  const entries = new Map<string, DockerEntry>();
  const files = new Map<string, ExportFile>();
  const untagged: string[] = [];
  for (const image of images.toSorted(byReference)) {
    signal.throwIfAborted();
    const { entry, files: own } = await dockerParts(store, image);
    if (entry.RepoTags.length === 0) untagged.push(image.reference);
    const known = entries.get(entry.Config);
    entries.set(entry.Config, known ? { ...known, RepoTags: [...known.RepoTags, ...entry.RepoTags] } : entry);
    if (!known) for (const file of own) files.set(file.name, file);
  }
  const manifest = { name: 'manifest.json', content: asJson([...entries.values()]) };
  const sorted = [...files].toSorted(byKey).map(([, file]) => file);
  const warnings = untagged.map((reference) => `${reference} has no tag, and no name in an archive of docker`);
  return { files: [manifest, ...sorted], warnings };
}

function byReference({ reference: a }: RegistryImage, { reference: b }: RegistryImage): number {
  return byKey([a, undefined], [b, undefined]);
}
