import { hasCode } from '../errors.ts';
import type { Digest } from '../image/digest.ts';
import type { ImageId } from '../image/image-id.ts';
import { type GoPlatform, registryLabels } from '../image/platform.ts';
import { parseRegistryReference, registryImageName } from '../image/registry-reference.ts';
import type { RegistryImage } from '../store/registry-store.ts';
import type { Store, StoredImage } from '../store/store.ts';

/** By what images are sorted: when they were imported or last used, their name, or their size. */
export type SortField = 'importtime' | 'lastused' | 'name' | 'size';

export type ListRequest = {
  /** Default importtime, which streams. Every other order keeps all rows in memory. */
  readonly sort?: SortField;
  /** Default asc. */
  readonly order?: 'asc' | 'desc';
};

const compare: Readonly<Record<SortField, (a: Entry, b: Entry) => number>> = {
  importtime: (a, b) => a.importedAtMs - b.importedAtMs,
  lastused: (a, b) => a.lastUsedAtMs - b.lastUsedAtMs,
  name: (a, b) => (listedName(a) < listedName(b) ? -1 : Number(listedName(a) > listedName(b))),
  size: (a, b) => a.size - b.size,
};

function listedName(entry: Entry): string {
  return entry.kind === 'registry' ? entry.image.reference : entry.name;
}

/**
 * Lists all images in the store, including registry images, sorted. Equal ones are in the order of their import. A
 * registry image and the image that it was converted to are one entry, that of the registry image.
 */
export async function* listImages(
  store: Store,
  { sort = 'importtime', order = 'asc' }: ListRequest = {},
): AsyncGenerator<Entry> {
  if (sort === 'importtime' && order === 'asc') {
    yield* byImport(store);
    return;
  }
  const entries = await Array.fromAsync(byImport(store));
  const sign = order === 'asc' ? 1 : -1;
  yield* entries.sort((a, b) => sign * compare[sort](a, b));
}

/** Merges the images and the registry images, both of which are sorted by import time. */
async function* byImport(store: Store): AsyncGenerator<Entry> {
  const registryImages = store.registryImages()[Symbol.asyncIterator]();
  let next = await registryImages.next();
  for await (const image of store.images({ alone: true })) {
    for (; !next.done && next.value.importedAtMs < image.importedAtMs; next = await registryImages.next()) {
      yield registryEntry(next.value);
    }
    yield imageEntry(image);
  }
  for (; !next.done; next = await registryImages.next()) yield registryEntry(next.value);
}

/** Properties that all images in the store have. */
type Facts = Pick<
  StoredImage,
  'name' | 'labels' | 'size' | 'importedAtMs' | 'lastUsedAtMs' | 'latest' | 'source' | 'verified' | 'weak'
>;

/**
 * One listed image: an archive, or a registry image, whose ID is the digest of its manifest. For who asks for it, the
 * archive that a registry image was converted to is an entry of its own.
 */
export type Entry = Facts &
  (
    | { readonly kind: 'image'; readonly id: ImageId; readonly image: StoredImage }
    | { readonly kind: 'registry'; readonly id: Digest; readonly image: RegistryImage }
  );

export function imageEntry(image: StoredImage): Entry {
  const { imageId, size, archive } = image;
  return { ...image, size: size + (archive?.size ?? 0), kind: 'image', id: imageId, image };
}

/** Name and labels are those of the image that it would be converted to. */
export function registryEntry(image: RegistryImage): Entry {
  const { size, importedAtMs, lastUsedAtMs, latest, source, verified, weak, platform } = image;
  const listed = parseListed(image.reference);
  const { name } = listed;
  const labels = registryLabels(listed, platform);
  const facts = { name, labels, size, importedAtMs, lastUsedAtMs, latest, source, verified, weak };
  return { ...facts, kind: 'registry', id: image.manifest.digest, image };
}

/** When several platforms were fetched, an entry may have a name that is no registry reference. */
function parseListed(reference: string): { readonly name: string; readonly tag?: string } {
  try {
    const parsed = parseRegistryReference(reference);
    return { ...parsed, name: registryImageName(parsed) };
  } catch (error) {
    if (!hasCode(error, 'REFERENCE_INVALID')) throw error;
    return { name: reference };
  }
}

/** One image in JSON output: complete IDs, times as ISO 8601 in UTC, absent properties left out. */
export type ImageRow = {
  /** For a registry image, the digest of its manifest. */
  readonly imageID: string;
  /** The name in its manifest; for a registry image, that of the image that it would be converted to. */
  readonly name: string;
  /** The labels by name: `version`, `os`, `arch`, … */
  readonly labels: Readonly<Record<string, string>>;
  /**
   * Bytes of the uncompressed image, and of its archive if that is kept too; for a registry image, of all its blobs and of the image
   * that it was converted to.
   */
  readonly size: number;
  /** When it came into the store. */
  readonly importedAt: string;
  /** When it was last found or extracted. */
  readonly lastUsedAt: string;
  /** Whether it was asked for without a version. */
  readonly latest: boolean;
  /** Where it came from: a URL without credentials and query, or a path. */
  readonly source: string;
  /** Fingerprints of the keys that signed it; false when it was not verified. */
  readonly verified: readonly string[] | false;
  /** `sha256:` and hex of the bytes as transferred; for a registry image, the digest of its manifest. */
  readonly digest: string;
  /** Only for an image whose archive is kept as it was transferred, too: that. */
  readonly archive?: {
    /** `sha256:` and hex. */
    readonly digest: string;
    /** In bytes. */
    readonly size: number;
  };
  /** Only for a registry image: its reference. */
  readonly reference?: string;
  /** Only for a registry image for one platform: that. */
  readonly platform?: GoPlatform;
  /** Only for an index that is kept with everything in it: the platforms of its images. */
  readonly platforms?: readonly GoPlatform[];
  /** Only for a registry image: the ID of the image that it was converted to. */
  readonly convertedTo?: string;
};

export function imageRow(entry: Entry): ImageRow {
  const { id, name, labels, size, importedAtMs, lastUsedAtMs, latest, source, verified } = entry;
  return {
    imageID: id,
    name,
    labels: Object.fromEntries(labels),
    size,
    importedAt: new Date(importedAtMs).toISOString(),
    lastUsedAt: new Date(lastUsedAtMs).toISOString(),
    latest,
    source,
    verified,
    ...(entry.kind === 'image' ? archiveFacts(entry.image) : registryFacts(entry)),
  };
}

function archiveFacts({ digest, archive }: StoredImage) {
  return { digest, ...(archive && { archive: { digest: archive.digest, size: archive.size } }) };
}

function registryFacts({ id, image }: Extract<Entry, { kind: 'registry' }>) {
  const { reference, platform, platforms, imageId } = image;
  return {
    digest: id,
    reference,
    ...(platforms ? { platforms } : { platform }),
    ...(imageId !== undefined && { convertedTo: imageId }),
  };
}
