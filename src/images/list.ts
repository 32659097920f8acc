import type { Store, StoredImage } from '../store/store.ts';
import { hasCode } from '../errors.ts';
import type { Digest } from '../image/digest.ts';
import type { ImageId } from '../image/image-id.ts';
import { registryImageName, parseRegistryReference } from '../image/registry-reference.ts';
import { registryLabels, type GoPlatform } from '../image/platform.ts';
import type { RegistryImage } from '../store/registry-store.ts';

export type SortField = 'importtime' | 'lastused' | 'name' | 'size';

export type ListRequest = {
  /** Default importtime, which streams; every other order holds all rows in memory. */
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

/** What a store lists, images of registries too, sorted; equal ones in the order they were imported. */
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

/** Both kinds come by import time; they are merged as they come. */
async function* byImport(store: Store): AsyncGenerator<Entry> {
  const registryImages = store.registryImages()[Symbol.asyncIterator]();
  let next = await registryImages.next();
  for await (const image of store.images()) {
    for (; !next.done && next.value.importedAtMs < image.importedAtMs; next = await registryImages.next()) {
      yield registryEntry(next.value);
    }
    yield imageEntry(image);
  }
  for (; !next.done; next = await registryImages.next()) yield registryEntry(next.value);
}

/** What is known of everything that the store lists. */
type Facts = Pick<
  StoredImage,
  'name' | 'labels' | 'size' | 'importedAtMs' | 'lastUsedAtMs' | 'latest' | 'source' | 'verified' | 'weak'
>;

/** One thing that the store lists: an image, or one of a registry as it came, whose ID is the digest of its manifest. */
export type Entry = Facts &
  (
    | { readonly kind: 'image'; readonly id: ImageId; readonly image: StoredImage }
    | { readonly kind: 'registry'; readonly id: Digest; readonly image: RegistryImage }
  );

export function imageEntry(image: StoredImage): Entry {
  return { ...image, kind: 'image', id: image.imageId, image };
}

/** Name and labels are those that an image made of it has. */
export function registryEntry(image: RegistryImage): Entry {
  const { size, importedAtMs, lastUsedAtMs, latest, source, verified, weak, platform } = image;
  const listed = parseListed(image.reference);
  const { name } = listed;
  const labels = registryLabels(listed, platform);
  const facts = { name, labels, size, importedAtMs, lastUsedAtMs, latest, source, verified, weak };
  return { ...facts, kind: 'registry', id: image.manifest.digest, image };
}

/** One of several platforms may have been given a reference that is none to a registry. */
function parseListed(reference: string): { readonly name: string; readonly tag?: string } {
  try {
    const parsed = parseRegistryReference(reference);
    return { ...parsed, name: registryImageName(parsed) };
  } catch (error) {
    if (!hasCode(error, 'REFERENCE_INVALID')) throw error;
    return { name: reference };
  }
}

/** One image as JSON output shows it: IDs whole, times ISO 8601 in UTC, absent facts left out. */
export type ImageRow = {
  /** The digest of its manifest where it is one of a registry as it came. */
  readonly imageID: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Bytes of the uncompressed image; of a registry's, of all its blobs. */
  readonly size: number;
  readonly importedAt: string;
  readonly lastUsedAt: string;
  readonly latest: boolean;
  readonly source: string;
  /** Fingerprints of the keys that signed it; false: nobody checked. */
  readonly verified: readonly string[] | false;
  /** `sha256:` and hex of the bytes as transferred; of a registry's image, of its manifest. */
  readonly digest: string;
  /** Of a registry's image alone: what it is called, what it is for, and the image that was made of it. */
  readonly reference?: string;
  readonly platform?: GoPlatform;
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
    ...(entry.kind === 'image' ? { digest: entry.image.digest } : registryFacts(entry)),
  };
}

function registryFacts({ id, image }: Extract<Entry, { kind: 'registry' }>) {
  const { reference, platform, imageId } = image;
  return { digest: id, reference, platform, ...(imageId !== undefined && { convertedTo: imageId }) };
}
