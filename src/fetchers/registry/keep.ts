import { open } from 'node:fs/promises';

import { isImageError } from '../../errors.ts';
import type { Digest } from '../../image/digest.ts';
import type { GoPlatform } from '../../image/platform.ts';
import type { DigestPointer } from '../../registry/documents.ts';
import { checkDigest } from '../../registry/download-blob.ts';
import { deriveOciManifest } from '../../registry/media-types.ts';
import type { RegistryDocument } from '../../registry/types.ts';
import type { RegistryImage, StoredDescriptor } from '../../store/registry-store.ts';
import type { Store, StoredImage } from '../../store/store.ts';
import { inStore } from '../../store/store-error.ts';
import { errnoOf } from '../../system/errno.ts';
import { openOwnFile, readAtMost, stampOf } from '../../system/files.ts';
import type { FetchContext } from '../context.ts';
import { type FetchedReferrers, isLatest, type Pull } from './image.ts';
import { provenanceOf } from './signatures.ts';

export type KeepRequest = {
  readonly config: RegistryDocument;
  readonly platform: GoPlatform;
  /** The archive that the image was converted to. */
  readonly archive: StoredImage | undefined;
  /** What is attached to the image; its blobs are in the store. */
  readonly attached: FetchedReferrers | undefined;
};

/** Stores an image without conversion: writes its documents and lists it. All its layers must be in the store. */
export async function keepImage(
  context: FetchContext,
  { wanted, resolved, verified }: Pull,
  { config, platform, archive, attached }: KeepRequest,
  signal: AbortSignal,
): Promise<{ readonly image: RegistryImage; readonly blobs: ReadonlyMap<Digest, number> }> {
  const { manifest, indexes, layers } = resolved;
  const [index] = indexes;
  const oci = deriveOciManifest(manifest, resolved);
  signal.throwIfAborted();
  const documents = [manifest, config, ...indexes, ...(oci ? [oci] : [])];
  const blobs = await putDocuments(context, wanted.key, { root: manifest.digest, documents, blobs: layers, attached });
  const { host, repository } = wanted.reference;
  const image = await context.store.commitRegistryImage({
    reference: wanted.isFurther ? `${host}/${repository}@${manifest.digest}` : wanted.name,
    manifest: describe(manifest),
    ...(index && { index: describe(index) }),
    ...(oci && { oci: describe(oci) }),
    platform,
    ...(attached && { referrers: attached.referrers }),
    blobs: [...blobs.keys()],
    ...(archive && { imageId: archive.imageId }),
    latest: isLatest(wanted.reference),
    source: wanted.source,
    ...provenanceOf(verified),
  });
  return { image, blobs };
}

type Parts = {
  /** The digest that is the ID of the image. */
  readonly root: Digest;
  readonly documents: readonly RegistryDocument[];
  /** What else it consists of, which is in the store. */
  readonly blobs: readonly { readonly digest: Digest; readonly size: number }[];
  readonly attached: FetchedReferrers | undefined;
};

/** Writes all documents of an image. @returns the bytes of everything that belongs to it, by digest */
export async function putDocuments(
  { store, onEvent }: Pick<FetchContext, 'store' | 'onEvent'>,
  key: string,
  { root, documents, blobs, attached }: Parts,
): Promise<ReadonlyMap<Digest, number>> {
  const all = [...documents, ...(attached?.documents ?? [])];
  await Promise.all(all.map((document) => putDocument(store, document)));
  const stored = new Map([
    ...all.map(({ digest, bytes }) => [digest, bytes.byteLength] as const),
    ...blobs.map(({ digest, size }) => [digest, size] as const),
    ...(attached?.blobs ?? []),
  ]);
  const size = stored.values().reduce((sum, bytes) => sum + bytes, 0);
  onEvent({ type: 'ingested', key, imageID: root, size });
  return stored;
}

/** Writes a document that matches its digest. It is not listed by that. */
export async function putDocument(store: Store, { bytes, digest }: RegistryDocument): Promise<void> {
  if (await store.hasBlob(digest)) return;
  const path = store.temporaryPath();
  const stamp = await inStore(path, async () => {
    await using file = await open(path, 'wx');
    await file.writeFile(bytes);
    await file.datasync();
    return stampOf(await file.stat({ bigint: true }));
  });
  await store.commitBlob({ path, stamp, digest, size: bytes.byteLength });
}

/** Reads a document that the store has, and checks it. @returns undefined if it is not there, is damaged or too large. */
export async function readDocument(
  store: Store,
  { digest, size }: Pick<DigestPointer, 'digest' | 'size'>,
  maxBytes: number,
): Promise<Uint8Array | undefined> {
  if ((size !== undefined && size > maxBytes) || !(await store.hasBlob(digest, size))) return undefined;
  try {
    await using file = await openOwnFile(store.digestPath(digest));
    const bytes = await readAtMost(file, maxBytes + 1);
    if (bytes.byteLength > maxBytes) return undefined;
    checkDigest(bytes, { digest, ...(size !== undefined && { size }) });
    return bytes;
  } catch (error) {
    if (isImageError(error) || errnoOf(error) !== undefined) return undefined; // the stored blob is unusable
    throw error;
  }
}

export function describe({ mediaType, digest, bytes }: RegistryDocument): StoredDescriptor {
  return { mediaType, digest, size: bytes.byteLength };
}
