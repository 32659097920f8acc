import { ImageError } from '../../errors.ts';
import { type Digest, isDigest, parseDigest } from '../../image/digest.ts';
import { type PlatformChoice, runsOn } from '../../image/platform.ts';
import { parseRegistryReference, type RegistryReference } from '../../image/registry-reference.ts';
import { currentDigest } from '../../registry/documents.ts';
import type { RegistryImage } from '../../store/registry-store.ts';
import type { StoredImage } from '../../store/store.ts';
import { createObserver, type FetchContext } from '../context.ts';
import { type Found, present } from '../found.ts';
import { hasBlob, isStored, kept, signerRefusal, withSigners } from '../stored.ts';
import { describeRegistryImage, type WantedImage } from './image.ts';
import { isOtherThan } from './locked.ts';
import { findPart, type KeptImage, listPart } from './whole.ts';

/**
 * Finds a registry image that is stored without conversion. Of several references to it, a verified one is used; of several images
 * of one index, the one for the platform.
 */
export async function findByDigest(context: FetchContext, digest: Digest, signal: AbortSignal): Promise<Found> {
  const { store, registries } = context;
  const [platform] = registries.platforms;
  const all = await store.registryImagesOf(digest);
  const faults = await Promise.all(
    all.map(async (one) => context.verifier?.signerFault(one, one.reference, kept(context, one.reference))),
  );
  const good = all.filter((_, index) => faults[index] === undefined);
  const image = good.find((one) => isFor(one, platform)) ?? good[0];
  if (!image) {
    const [refused] = all;
    if (!refused) throw new ImageError('NOT_IN_STORE', 'the store has no image of this digest', { asked: digest });
    throw signerRefusal(faults.find((fault) => fault instanceof ImageError) ?? 'unverified', 'it', refused);
  }
  for (const blob of image.blobs) {
    if (await hasBlob(context, { digest: blob }, signal)) continue;
    const path = store.digestPath(blob);
    throw new ImageError('STORE_CORRUPT', `the blob ${blob} of it is damaged or missing`, { path });
  }
  store.touchRegistryImage(image.reference);
  const found = present(describeRegistryImage(parseRegistryReference(image.reference), image));
  return withSigners(context, found, kept(context, image.reference));
}

/** Whether an image is what is asked for. */
function isFor({ platform, platforms }: RegistryImage, choice: PlatformChoice): boolean {
  return choice === 'all' ? platforms !== undefined : platforms === undefined && runsOn(platform, choice);
}

type LookupOptions = {
  /** The time at which the fetch began; newer entries are current. */
  readonly sinceMs: number;
  /** The registry may be asked for the current digest of a tag. */
  readonly mayAsk: boolean;
};

/** Makes the archive of an image that is stored only as it came. @returns undefined if that is not possible any more */
export type MakeArchive = (known: StoredForms & { readonly oci: RegistryImage }) => Promise<StoredImage | undefined>;

/**
 * Answers from the store. For a tag under the policy `update`, the registry must confirm that the tag has not moved.
 *
 * @param makeArchive - called if only the archive is missing that is to be kept. Without it, that is no answer.
 */
export async function answerFromStore(
  context: FetchContext,
  wanted: WantedImage,
  question: LookupOptions & { readonly makeArchive?: MakeArchive },
  signal: AbortSignal,
): Promise<Found | undefined> {
  const known = await lookUpKept(context, wanted, question.sinceMs, signal);
  if (!known) return undefined;
  const { oci } = known;
  const lacksArchive = oci !== undefined && !isAllKept(context, known);
  if (lacksArchive && !question.makeArchive) return undefined;
  if (!(await isCurrent(context, wanted, known, question, signal))) return undefined;
  const { digest } = imageOf(context, wanted, known);
  const isOther = isOtherThan(wanted.locked, { root: known.digest, manifest: digest });
  if (isOther && context.policy !== 'never') return undefined;
  const made = lacksArchive ? await question.makeArchive?.({ ...known, oci }) : undefined;
  if (lacksArchive && !made) return undefined;
  const { store } = context;
  if (known.aci) store.touch(known.aci.imageId);
  if (oci) store.touchRegistryImage(oci.reference);
  if (oci?.part) await listPart(context, oci, oci.part);
  const forms = made ? { ...known, aci: made } : known;
  const found = { ...present(imageOf(context, wanted, forms)), root: known.digest };
  return withSigners(context, found, keptOf(context, wanted, forms));
}

/** What the store has of the proofs of an image that is asked for. */
export function keptOf(
  context: FetchContext,
  { reference }: WantedImage,
  { oci, aci }: StoredForms,
): ReturnType<typeof kept> {
  return kept(context, oci?.reference ?? aci?.imageId ?? '', reference);
}

/** The stored forms of a reference, if these are all that must be stored, or an archive that is missing can be made of the others. */
export async function lookUpKept(
  context: FetchContext,
  wanted: WantedImage,
  sinceMs: number,
  signal: AbortSignal,
): Promise<StoredForms | undefined> {
  const known = await lookUpRegistryImage(context, wanted, signal);
  if (!known || (context.noCache && known.checkedAtMs < sinceMs)) return undefined;
  if (lacksReferrers(context, known, sinceMs)) return undefined;
  return known.oci || isAllKept(context, known) ? known : undefined;
}

/** Whether the stored image is current. Asks the registry, if the policy requires that, and records its answer. */
async function isCurrent(
  context: FetchContext,
  wanted: WantedImage,
  known: StoredForms,
  { sinceMs, mayAsk }: LookupOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const isPinned = wanted.reference.digest !== undefined || wanted.locked !== undefined;
  if (context.policy !== 'update' || isPinned) return true;
  const mayBeCurrent = mayAsk || known.checkedAtMs >= sinceMs; // another fetch, which stored it since, may have used a remembered answer
  if (!mayBeCurrent || (await hasTagMoved(context, wanted, known, signal))) return false;
  const { aci, digest } = known;
  if (aci) await context.store.putRemote(wanted.url, recordOf(aci.imageId, digest, context.nowMs()));
  return true;
}

/** Whether a tag has another digest now; false for a reference by digest. */
export async function hasTagMoved(
  context: FetchContext,
  { key, reference }: WantedImage,
  { digest }: StoredForms,
  signal: AbortSignal,
): Promise<boolean> {
  const { host, tag } = reference;
  if (reference.digest !== undefined || tag === undefined) return false;
  const client = await context.registries.client();
  const now = await context.slots.run(host, signal, (slot) =>
    currentDigest(client, reference, tag, createObserver({ ...context, slot }, key), signal),
  );
  return now !== digest;
}

/** The stored form that is the result: the archive if one is to be kept, else the image as it was served. The other one if only that is there. */
export function imageOf({ registries }: FetchContext, { reference }: WantedImage, { aci, oci }: StoredForms) {
  const image = oci && (registries.keep === 'oci' || !aci) ? describeRegistryImage(reference, oci) : aci;
  if (!image) throw new Error('an image is stored in neither form');
  return image;
}

/** Whether all forms are stored that must be. Under the policy `never` an archive is enough, and what a read-only store has. */
function isAllKept({ registries, policy, store }: FetchContext, { aci, oci }: StoredForms): boolean {
  if (policy === 'never' && (aci || store.readOnly)) return true;
  switch (registries.keep) {
    case 'aci':
      return aci !== undefined;
    case 'oci':
      return oci !== undefined;
    case 'both':
      return aci !== undefined && oci !== undefined;
  }
}

/** Whether what is attached to the image has to be asked for; under the policy `update` always, since it may be more now. */
function lacksReferrers(
  { registries, policy }: FetchContext,
  { oci, checkedAtMs }: StoredForms,
  sinceMs: number,
): boolean {
  if (!registries.referrers || policy === 'never' || !oci) return false;
  const { carried } = registries;
  if (carried)
    return [oci.manifest, ...(oci.index ? [oci.index] : [])].some(({ digest }) =>
      isNew(oci, carried.attachedTo(digest)),
    );
  return oci.referrers === undefined || (policy === 'update' && checkedAtMs < sinceMs);
}

function isNew({ referrers = [] }: RegistryImage, attached: readonly Digest[]): boolean {
  return attached.some((digest) => referrers.every((known) => known.digest !== digest));
}

/** The stored forms of a reference. */
export type StoredForms = {
  /** The digest of the reference when the registry was last asked. */
  readonly digest: Digest;
  readonly checkedAtMs: number;
  readonly aci: StoredImage | undefined;
  readonly oci: KeptImage | undefined;
};

/** The stored archive and the stored image without conversion, if they are whole. If their digests differ, only the newer one. */
export async function lookUpRegistryImage(
  context: FetchContext,
  wanted: WantedImage,
  signal: AbortSignal,
): Promise<StoredForms | undefined> {
  const archive = await findArchive(context, wanted, signal);
  const oci = await findWhole(context, wanted, archive?.aci, signal);
  const kept = oci && { digest: (oci.index ?? oci.manifest).digest, checkedAtMs: oci.importedAtMs, oci };
  if (!archive || !kept) return archive ? { ...archive, oci: undefined } : kept && { ...kept, aci: undefined };
  if (archive.digest === kept.digest) return { ...archive, oci };
  return archive.checkedAtMs > kept.checkedAtMs ? { ...archive, oci: undefined } : { ...kept, aci: undefined };
}

/** The entry of the URL cache for a reference; its digest is stored as the ETag. */
export function recordOf(imageId: StoredImage['imageId'], digest: Digest, checkedAtMs: number) {
  return { imageId, etag: digest, maxAgeMs: 0, checkedAtMs };
}

async function findArchive(context: FetchContext, { url, reference }: WantedImage, signal: AbortSignal) {
  const record = await context.store.getRemote(url);
  const aci = record && (await context.store.getImage(record.imageId));
  const { etag = '', checkedAtMs = 0 } = record ?? {};
  if (!aci || !isDigest(etag) || !(await isStored(context, aci, signal, reference))) return undefined;
  return { aci, digest: etag, checkedAtMs };
}

/**
 * The stored image of a reference, or one for the right platform from the same index. With a verifier it must be verified. An image
 * under another name may be signed for another tag only: it is used if the reference has no tag, or if the archive of the reference
 * was made of it.
 */
async function findWhole(
  context: FetchContext,
  about: WantedImage,
  archive: StoredImage | undefined,
  signal: AbortSignal,
): Promise<KeptImage | undefined> {
  const { store, registries, verifier } = context;
  const { name, platform, reference } = about;
  const listed = (await store.findRegistryImage(name)) ?? (await findPinned(context, reference));
  if (!listed) return undefined;
  const named = reference.digest === listed.manifest.digest ? withoutIndex(listed) : listed;
  const isWhole = named.platforms !== undefined;
  if (platform === 'all' && !isWhole && named.index) return undefined;
  const isOnly = isWhole
    ? platform === 'all'
    : named.index === undefined && (platform === 'all' || !registries.isPlatformAsked);
  const index = isWhole ? named.manifest : named.index;
  const siblings = index && !isOnly ? await store.registryImagesOf(index.digest) : [];
  const ofRepository = `${reference.host}/${reference.repository}@`;
  const isUsable = ({ reference: other, manifest }: RegistryImage): boolean =>
    !verifier ||
    (other.startsWith(ofRepository) && (reference.tag === undefined || manifest.digest === archive?.digest));
  const fitting = [named, ...siblings.filter(isUsable)].filter((one) => isOnly || isFor(one, platform));
  const image =
    (await findTrusted(context, fitting, reference)) ??
    (isWhole ? await findTrustedPart(context, named, about) : undefined);
  if (!image) return undefined;
  for (const digest of image.blobs) if (!(await hasBlob(context, { digest }, signal))) return undefined;
  return image;
}

/** What the digest of one manifest stands for: that alone, though it may have come with the index that has others, too. */
function withoutIndex({ index: _, ...image }: RegistryImage): RegistryImage {
  return image;
}

async function findTrustedPart(
  context: FetchContext,
  whole: RegistryImage,
  { platform, reference }: WantedImage,
): Promise<KeptImage | undefined> {
  if (platform === 'all' || !(await findTrusted(context, [whole], reference))) return undefined;
  return findPart(context, whole, { platform, reference });
}

/** The image of a reference by digest that is listed under another name: index.json shows such a name with the digest of the manifest. */
async function findPinned(
  { store }: FetchContext,
  { host, repository, digest, tag }: RegistryReference,
): Promise<RegistryImage | undefined> {
  if (digest === undefined || tag !== undefined) return undefined;
  const all = await store.registryImagesOf(parseDigest(digest));
  return all.find((one) => one.reference.startsWith(`${host}/${repository}@`));
}

/** @throws KEY_UNKNOWN and POLICY_REFUSED under the pull policy `never`, if an image fails only because of who is trusted now */
async function findTrusted(
  context: FetchContext,
  images: readonly RegistryImage[],
  asked: RegistryReference,
): Promise<RegistryImage | undefined> {
  let refused: ImageError | undefined;
  for (const image of images) {
    const fault = await context.verifier?.signerFault(image, image.reference, kept(context, image.reference, asked));
    if (fault === undefined) return image;
    if (fault instanceof ImageError) refused ??= fault;
  }
  if (refused && context.policy === 'never') throw refused;
  return undefined;
}
