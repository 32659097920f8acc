import { rm } from 'node:fs/promises';

import { hasCode } from '../../errors.ts';
import type { Digest } from '../../image/digest.ts';
import { makeArchive, openUnpacker, type UnpackedImage } from '../../pool/make-archive.ts';
import type { ResolvedImage } from '../../registry/resolve.ts';
import type { WholeIndex } from '../../registry/resolve-whole.ts';
import type { RegistryImage } from '../../store/registry-store.ts';
import type { StoredImage } from '../../store/store.ts';
import type { FetchContext } from '../context.ts';
import type { Found } from '../found.ts';
import { checkSigners } from '../lock.ts';
import { describeRegistryImage, isLatest, type Pull, type WantedImage } from './image.ts';
import { keepImage } from './keep.ts';
import { fetchParts, notConvertible, unpackStored } from './layers.ts';
import { checkDigests } from './locked.ts';
import { fetchReferrers } from './referrers.ts';
import { withResolved } from './resolution.ts';
import { openSignatureCheck, provenanceOf } from './signatures.ts';
import { lookUpRegistryImage, recordOf, type StoredForms } from './stored.ts';
import { proofsOf, storeWhole } from './whole.ts';

/**
 * Downloads the missing parts of an image and commits it; the caller holds the claim of its reference. The signatures are checked
 * before any layer is downloaded. The image is listed only when all of it has been verified and, unless it is stored as it is,
 * converted.
 */
export async function pullImage(context: FetchContext, wanted: WantedImage, signal: AbortSignal): Promise<Found> {
  const check = await openSignatureCheck(context, wanted);
  const client = await context.registries.client();
  const pullResolved = async (
    resolved: ResolvedImage | WholeIndex,
    documentsKept: Promise<unknown>,
  ): Promise<Found> => {
    checkDigests(wanted.locked, { root: resolved.digest, manifest: resolved.manifest.digest });
    const verified = await check.verify(resolved, signal);
    if (verified) checkSigners(wanted.locked?.held, verified.signedBy);
    const named = await context.store.findRegistryImage(wanted.name);
    // the name stays with an index that is kept with everything in it
    const isFurther = wanted.isFurther || (named?.platforms !== undefined && named.manifest.digest === resolved.digest);
    const pull = { wanted: { ...wanted, isFurther }, client, verified, documentsKept };
    const known = await lookUpRegistryImage(context, wanted, signal);
    const same = known?.digest === resolved.digest ? known : undefined;
    const store = (): Promise<Found> =>
      'documents' in resolved
        ? storeWhole(context, { ...pull, resolved }, signal)
        : storeImage(context, { ...pull, resolved }, same, signal);
    const found = await store().catch((error: unknown) => {
      if (signal.aborted || !isBlobGone(error)) throw error;
      return store(); // another tool, or the garbage collection, has removed a blob meanwhile
    });
    const signed = { ...found, ...(verified && { signedBy: verified.signedBy }) };
    return context.registries.carried ? notDownloaded(signed) : signed;
  };
  const onRoot = (root: Digest): void => check.begin(root, signal);
  return withResolved(context, { client, wanted, onRoot }, pullResolved, signal);
}

/** What comes from an archive of images comes from no server. */
function notDownloaded(found: Found): Found {
  return { ...found, bytesDownloaded: 0 };
}

/** @param known - the forms in which the store has the same image. */
async function storeImage(
  context: FetchContext,
  pull: Pull,
  known: StoredForms | undefined,
  signal: AbortSignal,
): Promise<Found> {
  const { keep } = context.registries;
  const { wanted, resolved } = pull;
  await using unpacker = keep === 'oci' || known?.aci ? undefined : openUnpacker(context);
  const { config, platform, bytesDownloaded } = await fetchParts(context, pull, unpacker, signal);
  const attached = await fetchReferrers(context, pull, signal);
  await pull.documentsKept;
  const provenance = provenanceOf(pull.verified);
  const { digest, indexes } = resolved;
  const facts = { manifest: resolved.manifest.digest, index: indexes[0]?.digest, config, layers: resolved.layers };
  const made =
    unpacker &&
    (await storeArchive(context, wanted, { image: { ...facts, tars: unpacker.tars }, digest, ...provenance }, signal));
  const archive = made ?? known?.aci;
  const isKept = keep !== 'aci' || known?.oci; // the same image in both forms has to be known as such
  const kept = isKept && (await keepImage(context, pull, { config, platform, archive, attached }, signal));
  const image = kept && (keep === 'oci' || !archive) ? describeRegistryImage(wanted.reference, kept.image) : archive;
  if (!image) throw new Error('an image was not stored in any form');
  return {
    status: 'fetched',
    image,
    bytesDownloaded: bytesDownloaded + (attached?.bytesDownloaded ?? 0),
    endpoint: resolved.endpoint,
    root: digest,
    ...(kept && { blobs: kept.blobs }),
  };
}

type ArchiveRequest = ReturnType<typeof provenanceOf> & {
  readonly image: Omit<UnpackedImage, 'reference'>;
  /** What the reference stands for. */
  readonly digest: Digest;
  /** When its registry was asked; default now. */
  readonly checkedAtMs?: number;
};

/** Makes the archive of an image with unpacked layers, and commits it. */
async function storeArchive(
  { store, pool, limits, onEvent, nowMs }: FetchContext,
  { key, source, url, reference }: WantedImage,
  { image, digest, checkedAtMs, proofs, ...provenance }: ArchiveRequest,
  signal: AbortSignal,
): Promise<StoredImage> {
  const path = store.temporaryPath();
  const made = await makeArchive(pool, { ...image, reference }, { path, limits }, signal).catch((error: unknown) => {
    throw signal.aborted ? error : notConvertible(error);
  });
  const { imageId, size, stamp, manifest, parsed, warnings } = made;
  for (const message of warnings) onEvent({ type: 'warning', key, message });
  onEvent({ type: 'ingested', key, imageID: imageId, size });
  const { name, labels, dependencies } = parsed;
  const about = { source, digest: image.manifest, latest: isLatest(reference), ...provenance };
  const commit = {
    path,
    stamp,
    image: { imageId, name, labels, dependencies, size, ...about },
    manifest,
    remote: { url, record: recordOf(imageId, digest, checkedAtMs ?? nowMs()) },
    proofs,
  };
  return store.commit(commit).catch(async (error: unknown) => {
    await rm(path, { force: true });
    throw error;
  });
}

/**
 * Makes the archive of an image that is stored only as it came, and asks no server for anything. The caller holds the claim of its
 * reference.
 *
 * @returns undefined if the image is no longer whole
 */
export async function archiveStored(
  context: FetchContext,
  wanted: WantedImage,
  { oci, digest, checkedAtMs }: Pick<StoredForms, 'digest' | 'checkedAtMs'> & { readonly oci: RegistryImage },
  signal: AbortSignal,
): Promise<StoredImage | undefined> {
  const { verified, weak, index } = oci;
  try {
    const proofs = await proofsOf(context, oci);
    await using unpacker = openUnpacker(context);
    const unpacked = await unpackStored(context, oci, unpacker, signal);
    if (!unpacked) return undefined;
    const image = { ...unpacked, manifest: oci.manifest.digest, index: index?.digest, tars: unpacker.tars };
    const archive = await storeArchive(context, wanted, { image, digest, checkedAtMs, verified, weak, proofs }, signal);
    await context.store.commitRegistryImage({ ...oci, source: wanted.source, imageId: archive.imageId, proofs });
    return archive;
  } catch (error) {
    if (signal.aborted || !isBlobGone(error)) throw error;
    return undefined;
  }
}

function isBlobGone(error: unknown): boolean {
  return hasCode(error, 'STORE_CORRUPT') || hasCode(error, 'FILE_NOT_FOUND');
}
