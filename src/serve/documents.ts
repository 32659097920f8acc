import { hasCode } from '../errors.ts';
import { type Digest, isDigest } from '../image/digest.ts';
import { defaultLimits } from '../image/limits.ts';
import { digestOf } from '../registry/download-blob.ts';
import { parseAnyManifest } from '../registry/manifest.ts';
import type { AnyManifest, ImageIndex } from '../registry/types.ts';
import type { Referrer, RegistryImage } from '../store/registry-store.ts';
import type { Store } from '../store/store.ts';
import { errnoOf } from '../system/errno.ts';
import { openOwnFile, readAtMost } from '../system/files.ts';

/** A manifest or an index of the store, found to match its digest. */
export type Document = {
  readonly digest: Digest;
  readonly bytes: Uint8Array;
  readonly parsed: ImageIndex | AnyManifest;
};

export type Documents = {
  /** A manifest or an index. Undefined for another blob, and for what is not there as it should be. */
  readonly read: (store: Store, digest: Digest) => Promise<Document | undefined>;
  /**
   * Whether all that a manifest names is there; of an index, that is so for one of its manifests: a store mostly has the images of one
   * platform, with the index that the tag stands for.
   */
  readonly isWhole: (store: Store, document: Document) => Promise<boolean>;
};

/** The most bytes of documents that are kept; parsed, they take several times as much memory. */
const keptBytes = 8 * 2 ** 20;

/** Documents are read, checked and parsed once, and the last ones kept. */
export function createDocuments(maxBytes = keptBytes): Documents {
  const kept = new Map<Digest, Document>();
  let total = 0;

  const keep = (document: Document): void => {
    if (kept.has(document.digest)) return;
    kept.set(document.digest, document);
    total += document.bytes.byteLength;
    for (const [digest, { bytes }] of kept) {
      if (total <= maxBytes) return;
      kept.delete(digest);
      total -= bytes.byteLength;
    }
  };

  const read = async (store: Store, digest: Digest): Promise<Document | undefined> => {
    const earlier = kept.get(digest);
    if (earlier) {
      const isThere = (await store.digestState(digest, earlier.bytes.byteLength)) !== 'missing';
      return isThere ? earlier : undefined;
    }
    const bytes = await readBytes(store.digestPath(digest));
    if (!bytes || digestOf(bytes) !== digest) return undefined;
    const parsed = parse(bytes);
    if (!parsed) return undefined;
    const document = { digest, bytes, parsed };
    keep(document);
    return document;
  };

  const isWhole = async (store: Store, { parsed }: Document, depth = 0): Promise<boolean> => {
    if (parsed.kind === 'any') {
      for (const { digest, size } of parsed.config ? [parsed.config, ...parsed.layers] : parsed.layers)
        if ((await store.digestState(digest, size)) === 'missing') return false;
      return true;
    }
    if (depth > defaultLimits.indexDepth) return false;
    for (const { digest, size } of parsed.entries) {
      if ((await store.digestState(digest, size)) === 'missing') continue;
      const child = await read(store, digest);
      if (child && (await isWhole(store, child, depth + 1))) return true;
    }
    return parsed.entries.length === 0;
  };

  return { read, isWhole: (store, document) => isWhole(store, document) };
}

/** At most as many bytes as a manifest may have; undefined for more, and for a file that cannot be read. */
async function readBytes(path: string): Promise<Uint8Array | undefined> {
  try {
    await using file = await openOwnFile(path);
    const bytes = await readAtMost(file, defaultLimits.registryManifest + 1);
    return bytes.byteLength > defaultLimits.registryManifest ? undefined : bytes;
  } catch (error) {
    if (errnoOf(error) !== undefined) return undefined;
    throw error;
  }
}

function parse(bytes: Uint8Array): Document['parsed'] | undefined {
  try {
    return parseAnyManifest(bytes, '', Infinity);
  } catch (error) {
    if (hasCode(error, 'MANIFEST_INVALID')) return undefined;
    throw error;
  }
}

const taggedForm = /^(sha256)-([0-9a-f]{64})(?:\.[a-z]+)?$/;

/**
 * What is attached to a document by a tag made of its digest, such as `sha256-….sig`. An image keeps it, and has no name for it.
 *
 * @param repository - `host/name`.
 */
export async function findAttached(store: Store, repository: string, tag: string): Promise<Digest | undefined> {
  const [, algorithm = '', hex = ''] = taggedForm.exec(tag) ?? [];
  const subject = `${algorithm}:${hex}`;
  if (!isDigest(subject)) return undefined;
  const images = await store.imagesNeeding(subject, repository);
  return images.flatMap(({ referrers = [] }) => referrers).find((one) => one.tag === tag)?.digest;
}

/** An entry of a list of what is attached to a document. @see OCI distribution-spec, Listing Referrers */
export type ReferrerEntry = {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
};

/**
 * What is attached to a document, as far as it says so itself. Undefined if that is not known: no image of the repository was fetched
 * with what is attached to it.
 */
export async function listReferrers(
  { read }: Documents,
  store: Store,
  repository: string,
  subject: Digest,
): Promise<readonly ReferrerEntry[] | undefined> {
  const images = (await store.imagesNeeding(subject, repository)).filter(({ referrers }) => referrers);
  if (images.length === 0) return undefined;
  const entries: ReferrerEntry[] = [];
  for (const { digest, mediaType, size, artifactType } of attachedTo(images, subject)) {
    const document = await read(store, digest);
    if (!document) continue;
    const annotations = document.parsed.annotations;
    entries.push({
      ...{ mediaType, digest, size },
      ...(artifactType !== '' && { artifactType }),
      ...(Object.keys(annotations).length > 0 && { annotations }),
    });
  }
  return entries;
}

function attachedTo(images: readonly RegistryImage[], subject: Digest): readonly Referrer[] {
  const found = new Map<Digest, Referrer>();
  for (const { referrers = [] } of images)
    for (const one of referrers) if (one.subject === subject && one.tag === undefined) found.set(one.digest, one);
  return [...found.values()];
}
