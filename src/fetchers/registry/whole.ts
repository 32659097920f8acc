import { hasCode, ImageError } from '../../errors.ts';
import { type GoPlatform, noPlatform } from '../../image/platform.ts';
import type { Proof } from '../../image/proof.ts';
import type { RegistryReference } from '../../image/registry-reference.ts';
import { type DocumentPointer, type ParsedDocument, parseDocument } from '../../registry/documents.ts';
import { deriveOciManifest } from '../../registry/media-types.ts';
import { resolveImage } from '../../registry/resolve.ts';
import { deriveOciIndex, type DocumentTree, resolveTree, type WholeIndex } from '../../registry/resolve-whole.ts';
import type { RegistryDocument } from '../../registry/types.ts';
import type { Referrer, RegistryImage } from '../../store/registry-store.ts';
import type { FetchContext } from '../context.ts';
import type { Found } from '../found.ts';
import { fetchBlobs, transferProgress } from './blobs.ts';
import { describeRegistryImage, isLatest, type Pull } from './image.ts';
import { describe, putDocument, putDocuments, readDocument } from './keep.ts';
import { fetchReferrers } from './referrers.ts';
import { provenanceOf } from './signatures.ts';

/**
 * Fetches everything in an index that the store does not have, and lists the index under the reference. If a part of it fails, nothing
 * is listed.
 */
export async function storeWhole(context: FetchContext, pull: Pull<WholeIndex>, signal: AbortSignal): Promise<Found> {
  const { store } = context;
  const { wanted, resolved, verified } = pull;
  const { documents, blobs, manifest, platforms, endpoint } = resolved;
  const progress = transferProgress(context, pull);
  await fetchBlobs(context, { pull, blobs, progress }, signal);
  progress.end();
  const attached = await fetchReferrers(context, pull, signal);
  await pull.documentsKept;
  const derived = deriveOciIndex(resolved);
  const [oci] = derived;
  signal.throwIfAborted();
  const parts = { root: manifest.digest, documents: [...documents, ...derived], blobs, attached };
  const stored = await putDocuments(context, wanted.key, parts);
  const kept = await store.commitRegistryImage({
    reference: wanted.name,
    manifest: describe(manifest),
    platforms,
    ...(attached && { referrers: attached.referrers }),
    ...(oci && { oci: describe(oci) }),
    platform: noPlatform,
    blobs: [...stored.keys()],
    latest: isLatest(wanted.reference),
    source: wanted.source,
    ...provenanceOf(verified),
  });
  const bytesDownloaded = bytesOf(documents) + progress.bytes + (attached?.bytesDownloaded ?? 0);
  const image = describeRegistryImage(wanted.reference, kept);
  return { status: 'fetched', image, bytesDownloaded, endpoint, root: resolved.digest, blobs: stored };
}

function bytesOf(documents: DocumentTree['documents']): number {
  return documents.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
}

/** An image that is stored as it came. One that is only part of an index, which is kept with everything in it, is not listed itself. */
export type KeptImage = RegistryImage & { readonly part?: Part };

type Part = {
  /** The reference of the image with the whole index. */
  readonly of: string;
  /** Made for tools that read OCI only. */
  readonly derived: RegistryDocument | undefined;
};

type PartRequest = { readonly reference: RegistryReference; readonly platform: GoPlatform };

/**
 * The image for a platform in an index that is kept with everything in it.
 *
 * @throws PLATFORM_MISSING under the policy `never`
 */
export async function findPart(
  { store, limits, policy, registries }: FetchContext,
  whole: RegistryImage,
  { reference, platform }: PartRequest,
): Promise<KeptImage | undefined> {
  const { digest } = whole.manifest;
  const get = async (pointer: DocumentPointer): Promise<ParsedDocument> => {
    if ('tag' in pointer) throw new Error('a digest was asked for');
    const bytes = await readDocument(store, pointer, limits.registryManifest);
    if (!bytes) throw new ImageError('NOT_IN_STORE', 'a manifest of it is missing', { asked: pointer.digest });
    return parseDocument({ bytes, url: '' }, pointer, limits);
  };
  const client = await registries.client();
  const signal = new AbortController().signal; // nothing is asked of a server
  const found = await resolveImage(client, { ...reference, digest }, { platform, get }, signal).catch(
    (error: unknown) => {
      const isAbsent = hasCode(error, 'NOT_IN_STORE') || (policy !== 'never' && hasCode(error, 'PLATFORM_MISSING'));
      if (!isAbsent) throw error;
      return undefined;
    },
  );
  if (!found?.platform) return undefined;
  const { size, source, verified, weak, importedAtMs, lastUsedAtMs } = whole;
  const { manifest, indexes, config, layers } = found;
  const derived = deriveOciManifest(manifest, found);
  const referrers = whole.referrers && attachedTo([digest, manifest.digest], whole.referrers);
  const roots = (referrers ?? []).map((one) => get({ digest: one.digest, size: one.size, kinds: 'any' }));
  const attached = await resolveTree(client, reference, { roots: await Promise.all(roots), get }, signal);
  return {
    ...{ size, source, verified, weak, importedAtMs, lastUsedAtMs },
    reference: `${reference.host}/${reference.repository}@${manifest.digest}`,
    manifest: describe(manifest),
    index: whole.manifest,
    ...(derived && { oci: describe(derived) }),
    platform: found.platform,
    ...(referrers && { referrers }),
    blobs: [...indexes, manifest, config, ...layers, ...attached.documents, ...attached.blobs].map((one) => one.digest),
    latest: false,
    part: { of: whole.reference, derived },
  };
}

/** What is attached to some manifests, and to that in turn. */
function attachedTo(subjects: readonly string[], all: readonly Referrer[]): readonly Referrer[] {
  const reached = new Set(subjects);
  for (let before = 0; before < reached.size;) {
    before = reached.size;
    for (const { subject, digest } of all) if (reached.has(subject)) reached.add(digest);
  }
  return all.filter(({ subject }) => reached.has(subject));
}

/** Lists a part of an index by itself, under its digest: it was asked for, so it is an image of its own. */
export async function listPart(
  context: FetchContext,
  { part: _, ...image }: KeptImage,
  { of, derived }: Part,
): Promise<void> {
  const { store } = context;
  store.touchRegistryImage(of);
  if (store.readOnly) return;
  if (derived) await putDocument(store, derived);
  await store.commitRegistryImage({ ...image, proofs: await store.proofsOf(of) });
}

/** What made an image trusted; of a part of an index, what made the index trusted. */
export function proofsOf({ store }: FetchContext, { reference, part }: KeptImage): Promise<readonly Proof[]> {
  return store.proofsOf(part?.of ?? reference);
}
