import { hash } from 'node:crypto';

import {
  type Bundle,
  type BundledArchive,
  type BundledImage,
  bundleDocument,
  type BundledProof,
  formatBundle,
  maxBundleBytes,
  maxImages,
  proofFile,
  tarFile,
  toBundledProof,
} from '../bundle/bundle.ts';
import { hasCode, ImageError } from '../errors.ts';
import { type Digest, isDigest } from '../image/digest.ts';
import { type ImagesContext, inParallel } from '../images/check-blob.ts';
import { readTree } from '../images/registry-image.ts';
import { layoutHead } from '../images/registry-layout.ts';
import type { RegistryImage } from '../store/registry-store.ts';
import type { Store, StoredImage } from '../store/store.ts';
import { blobFiles, byKey, type Contents, type ExportFile, partsOf, width } from './contents.ts';
import type { Selection } from './select.ts';

/** What another store has, by what it says of itself or by the lock that it was filled with. */
export type OtherSide = {
  /** By image ID, or by reference and digest (`REFERENCE DIGEST`): whether it is verified there. */
  readonly images: ReadonlyMap<string, boolean>;
  /** Manifests and indexes of which it has everything. */
  readonly documents: ReadonlySet<Digest>;
};

const nothing: OtherSide = { images: new Map(), documents: new Set() };

/**
 * A bundle of images, with what proved who signed them. What the other side has is left out: images, and blobs of those that it does
 * not have.
 *
 * @see docs/bundle.md
 * @throws STORE_CORRUPT; LIMIT_EXCEEDED for more images than a bundle may have
 */
export async function bundleContents(
  context: ImagesContext,
  selection: Selection,
  other: OtherSide = nothing,
  signal: AbortSignal,
): Promise<Contents> {
  const { store } = context;
  const images = selection.images.filter(
    ({ reference, manifest, verified }) => !hasImage(other, `${reference} ${manifest.digest}`, verified),
  );
  const wanted = selection.archives.filter(({ imageId, verified }) => !hasImage(other, imageId, verified));
  const archives = await mapInParallel(wanted, (image) => bytesOf(store, image), signal);
  if (Math.max(images.length, archives.length) > maxImages) throw tooMany('images', maxImages);
  // signatures may be about the document that a derived one stands for
  const { entries, documents, blobs } = await partsOf(context, images, ({ manifest }) => [manifest], signal);
  const indexes = new Map(images.flatMap(({ index }) => (index ? [[index.digest, index.size] as const] : [])));
  const there = await blobsThere(store, other, signal);
  const leftOut = [...blobs.keys()].filter((digest) => there.has(digest));
  const sent = new Map([...blobs].filter(([digest]) => !there.has(digest) && !indexes.has(digest)));

  const proofs = new Map<string, ExportFile>();
  const proofsOf = (image: string): Promise<readonly BundledProof[]> => listProofs(store, image, proofs);
  const bundle: Bundle = {
    images: await mapInParallel(images, async (image) => describeImage(image, await proofsOf(image.reference)), signal),
    archives: await mapInParallel(
      archives,
      async (image) => describeArchive(image, await proofsOf(image.imageId)),
      signal,
    ),
    leftOut,
  };
  const document = Buffer.from(formatBundle(bundle));
  if (document.byteLength > maxBundleBytes) throw tooMany('bytes of its document', maxBundleBytes);
  const kept = archives.flatMap(({ archive }) => (archive ? [[archive.digest, archive.size] as const] : []));
  const tars = archives.flatMap(({ archive, imageId, size }) =>
    archive ? [] : [[tarFile(imageId), { id: imageId, size }] as const],
  );
  const files = [
    ...layoutHead(entries),
    { name: bundleDocument, content: document },
    ...[...proofs].toSorted(byKey).map(([, file]) => file),
    ...blobFiles(new Map([...documents, ...indexes])),
    ...blobFiles(new Map([...sent, ...kept])),
    ...tars.toSorted(byKey).map(([name, content]) => ({ name, content })),
  ];
  const isEmpty = images.length + archives.length === 0;
  const had = selection.images.length + selection.archives.length;
  return { files, warnings: isEmpty && had > 0 ? ['the other side has all of the images: the bundle is empty'] : [] };
}

function tooMany(limit: string, maximum: number): ImageError {
  return new ImageError('LIMIT_EXCEEDED', `a bundle has at most ${maximum} ${limit}: export in parts`, {
    limit,
    maximum,
  });
}

/** An image that is not verified there is sent once more if it is verified here: so its proofs come. */
function hasImage({ images }: OtherSide, key: string, verified: readonly string[] | false): boolean {
  const isVerifiedThere = images.get(key);
  return isVerifiedThere === true || (isVerifiedThere === false && verified === false);
}

/** The blobs that the other side has, as far as they are known here. */
async function blobsThere(store: Store, { documents }: OtherSide, signal: AbortSignal): Promise<ReadonlySet<Digest>> {
  const there = new Set<Digest>();
  const visit = async (digest: Digest): Promise<void> => {
    const tree = await readTree(store, { digest, mediaType: '', size: 0 }).catch((error: unknown) => {
      if (hasCode(error, 'STORE_CORRUPT')) return []; // not known here, so that nothing is left out for it
      throw error;
    });
    for (const part of tree) if (!part.isDocument) there.add(part.digest);
  };
  await inParallel(documents, width, visit, signal);
  return there;
}

/** Adds the proofs of an image to the files. */
async function listProofs(
  store: Store,
  ofImage: string,
  files: Map<string, ExportFile>,
): Promise<readonly BundledProof[]> {
  const listed: BundledProof[] = [];
  for (const proof of await store.proofsOf(ofImage)) {
    const digest = `sha256:${hash('sha256', proof.bytes)}` as Digest; // just made
    const bundled = toBundledProof(proof, digest);
    if (!bundled) continue;
    listed.push(bundled);
    const name = proofFile(digest);
    files.set(name, { name, content: { digest, size: bundled.size, ofImage } });
  }
  return listed;
}

function describeImage(image: RegistryImage, proofs: readonly BundledProof[]): BundledImage {
  const { reference, manifest, platforms, platform, index, oci, referrers = [], source, latest } = image;
  return {
    ...{ reference, manifest, platform, referrers, source, latest, proofs },
    ...(platforms && { platforms }),
    ...(index && { index }),
    ...(oci && { oci }),
  };
}

function describeArchive(image: StoredImage, proofs: readonly BundledProof[]): BundledArchive {
  const { imageId, name, labels, size, source, latest, archive } = image;
  const digest = archive?.digest ?? image.digest;
  if (!isDigest(digest)) throw new Error(`the digest of ${imageId} is none`);
  return {
    ...{ imageId, name, labels, size, digest, source, latest, proofs },
    ...(archive && { transferred: archive.size }),
  };
}

/** An archive as it was transferred, if it is still there; otherwise the tar. Other programs may have removed the file. */
async function bytesOf(store: Store, image: StoredImage): Promise<StoredImage> {
  const { archive, ...rest } = image;
  if (!archive || (await store.digestState(archive.digest, archive.size)) !== 'missing') return image;
  return rest;
}

async function mapInParallel<T, R>(
  items: readonly T[],
  map: (item: T) => Promise<R>,
  signal: AbortSignal,
): Promise<readonly R[]> {
  const results: R[] = [];
  const visit = async (item: T, position: number): Promise<void> => void (results[position] = await map(item));
  await inParallel(items, width, visit, signal);
  return results;
}
