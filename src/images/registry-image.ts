import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { ImageError } from '../errors.ts';
import { type Digest, isDigest } from '../image/digest.ts';
import { makeScratch } from '../image/file-error.ts';
import { parseJsonStrict } from '../image/json.ts';
import { defaultLimits, type Limits } from '../image/limits.ts';
import { choosePlatform, type GoPlatform, hostPlatform } from '../image/platform.ts';
import { parseRegistryReference, type RegistryReference } from '../image/registry-reference.ts';
import { isAnotherBlob, makeArchive, openUnpacker, unpackAll } from '../pool/make-archive.ts';
import type { RegistryImage, StoredDescriptor } from '../store/registry-store.ts';
import type { Store, StoredImage } from '../store/store.ts';
import { errnoOf } from '../system/errno.ts';
import { openOwnFile, readAtMost } from '../system/files.ts';
import { corrupt, type ImagesContext } from './check-blob.ts';

/** The blobs that a manifest names; layers from the lowest up. */
export type RegistryParts = { readonly config: StoredDescriptor; readonly layers: readonly StoredDescriptor[] };

/**
 * Reads the parts of an image from its manifest, or from the one derived from it. The manifest was checked before it
 * was stored, and its digest shows that it is unchanged.
 *
 * @throws STORE_CORRUPT
 */
export async function readParts(store: Store, { digest }: StoredDescriptor): Promise<RegistryParts> {
  const parsed = parseJsonStrict(await readDocument(store, digest), { caseSensitive: true });
  const parts = partsOf(membersOf(parsed.ok ? parsed.value : undefined));
  if (parts) return parts;
  const path = store.digestPath(digest);
  throw new ImageError('STORE_CORRUPT', `the blob ${digest} is listed as a manifest, but is not one`, { path });
}

/** Undefined when the document is no manifest. */
export function partsOf(members: ReturnType<typeof membersOf>): RegistryParts | undefined {
  const config = parseDescriptor(members['config']);
  const layers = Array.isArray(members['layers']) ? members['layers'].map(parseDescriptor) : [];
  return config && layers.every((layer) => layer !== undefined) ? { config, layers } : undefined;
}

export function parseDescriptor(value: unknown): StoredDescriptor | undefined {
  const { mediaType, digest, size } = membersOf(value);
  const isWhole = typeof mediaType === 'string' && typeof digest === 'string' && typeof size === 'number';
  return isWhole && isDigest(digest) ? { mediaType, digest, size } : undefined;
}

export function membersOf(value: unknown): { readonly [name: string]: unknown } {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

/**
 * Reads a manifest or an index, which are small.
 *
 * @param maxBytes - the size of another document, or the limit of manifests.
 * @throws STORE_CORRUPT unless it matches its digest.
 */
export async function readDocument(
  store: Store,
  digest: Digest,
  maxBytes: number = defaultLimits.registryManifest,
): Promise<Buffer> {
  const bytes = await readDocumentFile(store.digestPath(digest), maxBytes).catch((error: unknown) => {
    throw corrupt(store, { id: digest }, errnoOf(error) === 'ENOENT' ? 'missing' : 'unreadable');
  });
  const found = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  if (found !== digest) throw corrupt(store, { id: digest }, 'wrong hash');
  return bytes;
}

async function readDocumentFile(path: string, maxBytes: number): Promise<Buffer> {
  await using file = await openOwnFile(path);
  return await readAtMost(file, maxBytes + 1); // one byte more than the limit
}

/** An archive to read: one of the store, or one that was made for this. */
export type Archive = Pick<StoredImage, 'imageId' | 'size'> & {
  readonly path: string;
  /** What of the image an archive cannot express. */
  readonly warnings: readonly string[];
};

type MakeArchive = { readonly path: string; readonly limits: Limits };

/**
 * Makes the archive of a registry image as a new file, from its blobs, which are hashed while they are unpacked. Nothing
 * is stored. Its ID is the one that a fetch would give it. Of an index with all platforms, it is the image for this machine.
 *
 * @throws STORE_CORRUPT for a damaged blob; MANIFEST_INVALID, PLATFORM_MISSING, ARCHIVE_INVALID, ARCHIVE_UNREADABLE,
 * DIGEST_MISMATCH, LIMIT_EXCEEDED, NAME_INVALID for an image of which none can be made; FILE_ and STORE_ codes
 */
export async function makeArchiveOf(
  { store, pool }: ImagesContext,
  listed: RegistryImage,
  { path, limits }: MakeArchive,
  signal: AbortSignal,
): Promise<Archive> {
  const image = await forThisMachine(store, listed);
  const { config, layers } = await readParts(store, image.manifest);
  for (const { digest, size } of layers)
    if ((await store.digestState(digest, size)) === 'missing') throw corrupt(store, { id: digest }, 'missing');
  const bytes = await readDocument(store, config.digest, config.size);
  const packed = diffIdsOf(bytes).flatMap((diffId, position) => {
    const layer = layers[position];
    return layer ? [{ digest: layer.digest, diffId }] : [];
  });
  await using place = await openPlace(store);
  const paths = { digestPath: (digest: Digest) => store.digestPath(digest), temporaryPath: place.temporaryPath };
  await using unpacker = openUnpacker({ store: paths, pool, limits });
  await unpackAll(unpacker, packed, signal).catch((error: unknown) => {
    const damaged = layers.find(({ digest }) => isAnotherBlob(error, digest));
    throw damaged ? corrupt(store, { id: damaged.digest }, 'wrong hash') : error;
  });
  const about = { reference: askedReference(image), manifest: image.manifest.digest, index: image.index?.digest };
  const parts = { config: { bytes, digest: config.digest }, layers, tars: unpacker.tars };
  const { imageId, size, warnings } = await makeArchive(pool, { ...about, ...parts }, { path, limits }, signal);
  return { imageId, size, path, warnings };
}

/** Works with the archive of a registry image, which is made for that and then removed. @throws as makeArchiveOf */
export async function withArchiveOf<T>(
  context: ImagesContext,
  image: RegistryImage,
  limits: Limits,
  work: (archive: Archive) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  await using place = await openPlace(context.store);
  const path = place.temporaryPath();
  try {
    return await work(await makeArchiveOf(context, image, { path, limits }, signal));
  } finally {
    await rm(path, { force: true });
  }
}

/** Digests of the uncompressed layers. They were checked when the image was fetched, against the number of layers too. */
function diffIdsOf(config: Uint8Array): readonly Digest[] {
  const parsed = parseJsonStrict(config, { caseSensitive: true });
  const { diff_ids: diffIds } = membersOf(membersOf(parsed.ok ? parsed.value : undefined)['rootfs']);
  return Array.isArray(diffIds) ? diffIds.filter((id): id is Digest => typeof id === 'string' && isDigest(id)) : [];
}

/** What the image was asked for by: one for a further platform is stored under its digest, but was asked for by a tag. */
function askedReference({ reference, source }: RegistryImage): RegistryReference {
  const stored = parseRegistryReference(reference);
  const asked = source.startsWith('docker://') ? parseRegistryReference(source) : stored;
  return asked.host === stored.host && asked.repository === stored.repository ? asked : stored;
}

/** Where temporary files may be made: in the store, or elsewhere if it cannot be written. */
async function openPlace(store: Store): Promise<AsyncDisposable & { temporaryPath(this: void): string }> {
  if (!store.readOnly) {
    return { temporaryPath: () => store.temporaryPath(), [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  const directory = await makeScratch('longshore-');
  let count = 0;
  return {
    temporaryPath: () => join(directory, String((count += 1))),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}

/** What an index names: an image for a platform, what belongs to one, or another index. */
export type IndexedManifest = StoredDescriptor & {
  readonly platform: GoPlatform | undefined;
  readonly annotations: Readonly<Record<string, string>>;
};

/** A document of the store, and what it names. */
type Document = {
  readonly manifests: readonly IndexedManifest[] | undefined;
  readonly blobs: readonly StoredDescriptor[];
};

/** @throws STORE_CORRUPT */
async function readNamed(store: Store, { digest }: StoredDescriptor): Promise<Document> {
  const parsed = parseJsonStrict(await readDocument(store, digest), { caseSensitive: true });
  const members = membersOf(parsed.ok ? parsed.value : undefined);
  const listed = (name: string): readonly unknown[] => (Array.isArray(members[name]) ? members[name] : []);
  const blobs = [members['config'], ...listed('layers'), ...listed('blobs')].flatMap(
    (one) => parseDescriptor(one) ?? [],
  );
  const manifests = listed('manifests').flatMap((one) => parseIndexed(one) ?? []);
  return { manifests: Array.isArray(members['manifests']) ? manifests : undefined, blobs };
}

function parseIndexed(value: unknown): IndexedManifest | undefined {
  const descriptor = parseDescriptor(value);
  const { platform, annotations } = membersOf(value);
  const { os, architecture, variant } = membersOf(platform);
  const isNamed = typeof os === 'string' && typeof architecture === 'string';
  const texts = Object.entries(membersOf(annotations)).filter(
    (pair): pair is [string, string] => typeof pair[1] === 'string',
  );
  const named = isNamed ? { os, architecture, ...(typeof variant === 'string' && { variant }) } : undefined;
  return descriptor && { ...descriptor, platform: named, annotations: Object.fromEntries(texts) };
}

/** What an index names; undefined for a manifest. @throws STORE_CORRUPT */
export async function readIndex(
  store: Store,
  index: StoredDescriptor,
): Promise<readonly IndexedManifest[] | undefined> {
  return (await readNamed(store, index)).manifests;
}

/** A part of an image: a manifest or an index, or a blob that is none. */
export type TreePart = StoredDescriptor & { readonly isDocument: boolean };

/** A document and everything that it leads to, each once. @throws STORE_CORRUPT */
export async function readTree(store: Store, root: StoredDescriptor): Promise<readonly TreePart[]> {
  const found = new Map<Digest, TreePart>([[root.digest, { ...root, isDocument: true }]]);
  const visit = async (document: StoredDescriptor, depth: number): Promise<void> => {
    if (depth > defaultLimits.indexDepth) throw corrupt(store, { id: document.digest }, 'wrong hash');
    const { blobs, manifests = [] } = await readNamed(store, document);
    for (const blob of blobs)
      if (!found.get(blob.digest)?.isDocument) found.set(blob.digest, { ...blob, isDocument: false });
    for (const { digest, mediaType, size } of manifests) {
      if (found.get(digest)?.isDocument) continue;
      const child = { digest, mediaType, size, isDocument: true };
      found.set(digest, child);
      await visit(child, depth + 1);
    }
  };
  await visit(root, 0);
  return [...found.values()];
}

/**
 * The image itself; for an index that is kept with everything in it, the image for this machine.
 *
 * @throws STORE_CORRUPT; PLATFORM_MISSING when the index has none for it
 */
export async function forThisMachine(store: Store, image: RegistryImage): Promise<RegistryImage> {
  if (!image.platforms) return image;
  const wanted = hostPlatform({ platform: process.platform, arch: process.arch });
  const { reference, blobs, size, latest, source, verified, weak, importedAtMs, lastUsedAtMs } = image;
  const facts = { reference, blobs, size, latest, source, verified, weak, importedAtMs, lastUsedAtMs };
  let { platform, manifest } = image;
  for (let depth = 0; depth <= defaultLimits.indexDepth; depth += 1) {
    const manifests = await readIndex(store, manifest);
    if (!manifests) return { ...facts, manifest, index: image.manifest, platform };
    const chosen = choosePlatform(manifests, wanted);
    const { mediaType, digest, size } = chosen;
    manifest = { mediaType, digest, size };
    platform = chosen.platform ?? platform;
  }
  throw corrupt(store, { id: manifest.digest }, 'wrong hash');
}
