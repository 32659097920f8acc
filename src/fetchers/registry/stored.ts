import { ImageError } from '../../errors.ts';
import { type Digest, isDigest } from '../../image/digest.ts';
import { runsOn } from '../../registry/choose-platform.ts';
import { currentDigest } from '../../registry/documents.ts';
import type { RegistryImage } from '../../store/registry-store.ts';
import type { StoredImage } from '../../store/store.ts';
import { type FetchContext, observing } from '../context.ts';
import { type Found, present } from '../found.ts';
import { hasBlob, isStored } from '../stored.ts';
import { describeRegistryImage, type WantedOfRegistry } from './image.ts';

type StoreQuestion = {
  /** When the fetch began: what has come since is young. */
  readonly sinceMs: number;
  /** The registry may be asked what a tag stands for now. */
  readonly mayAsk: boolean;
};

/** What the store says by itself or, for a tag under the policy `update`, once the registry says that it has not moved. */
export async function answerFromStore(
  context: FetchContext,
  wanted: WantedOfRegistry,
  question: StoreQuestion,
  signal: AbortSignal,
): Promise<Found | undefined> {
  const known = await lookUpKept(context, wanted, question.sinceMs, signal);
  if (!known || !(await isCurrent(context, wanted, known, question, signal))) return undefined;
  const image = imageOf(context, wanted, known);
  if (wanted.locked !== undefined && image.digest !== wanted.locked && context.policy !== 'never') return undefined;
  const { store } = context;
  if (known.aci) store.touch(known.aci.imageId);
  if (known.oci) store.touchRegistryImage(known.oci.reference);
  return present(image);
}

/** What is known of a reference, if it is all that is to be kept. */
export async function lookUpKept(
  context: FetchContext,
  wanted: WantedOfRegistry,
  sinceMs: number,
  signal: AbortSignal,
): Promise<StoredOfRegistry | undefined> {
  const known = await lookUpRegistryImage(context, wanted, signal);
  if (!known || (context.noCache && known.checkedAtMs < sinceMs)) return undefined;
  return isAllKept(context, known) ? known : undefined;
}

/** Whether the store may answer with what is known; asks the registry, if the policy says so, and notes its answer. */
async function isCurrent(
  context: FetchContext,
  wanted: WantedOfRegistry,
  known: StoredOfRegistry,
  { sinceMs, mayAsk }: StoreQuestion,
  signal: AbortSignal,
): Promise<boolean> {
  const isPinned = wanted.reference.digest !== undefined || wanted.locked !== undefined;
  if (context.policy !== 'update' || isPinned || known.checkedAtMs >= sinceMs) return true;
  if (!mayAsk || (await isMoved(context, wanted, known, signal))) return false;
  const { aci, digest } = known;
  if (aci) await context.store.putRemote(wanted.url, recordOf(aci.imageId, digest, context.nowMs()));
  return true;
}

/** Whether a tag stands for something else by now; a digest never does. */
export async function isMoved(
  context: FetchContext,
  { key, reference }: WantedOfRegistry,
  { digest }: StoredOfRegistry,
  signal: AbortSignal,
): Promise<boolean> {
  const { host, tag } = reference;
  if (reference.digest !== undefined || tag === undefined) return false;
  const client = await context.registries.client();
  const now = await context.slots.run(host, signal, (slot) =>
    currentDigest(client, reference, tag, observing({ ...context, slot }, key), signal),
  );
  return now !== digest;
}

export function imageOf({ registries }: FetchContext, { reference }: WantedOfRegistry, { aci, oci }: StoredOfRegistry) {
  const image = registries.keep === 'oci' || !aci ? oci && describeRegistryImage(reference, oci) : aci;
  if (!image) throw new Error('something is known of the image, but neither form of it');
  return image;
}

/** Where the network is not asked, either form will do. */
function isAllKept({ registries, policy }: FetchContext, { aci, oci }: StoredOfRegistry): boolean {
  switch (registries.keep) {
    case 'aci':
      return aci !== undefined;
    case 'oci':
      return oci !== undefined;
    case 'both':
      return policy === 'never' || (aci !== undefined && oci !== undefined);
  }
}

/** What the store has of a reference. */
type StoredOfRegistry = {
  /** What the reference stood for when it was last asked about. */
  readonly digest: Digest;
  readonly checkedAtMs: number;
  readonly aci: StoredImage | undefined;
  readonly oci: RegistryImage | undefined;
};

/** The archive and the image itself, as far as they are whole; if they differ, what came last. */
export async function lookUpRegistryImage(
  context: FetchContext,
  wanted: WantedOfRegistry,
  signal: AbortSignal,
): Promise<StoredOfRegistry | undefined> {
  const archive = await findArchive(context, wanted, signal);
  const oci = await findWhole(context, wanted, archive?.aci, signal);
  const kept = oci && { digest: (oci.index ?? oci.manifest).digest, checkedAtMs: oci.importedAtMs, oci };
  if (!archive || !kept) return archive ? { ...archive, oci: undefined } : kept && { ...kept, aci: undefined };
  if (archive.digest === kept.digest) return { ...archive, oci };
  return archive.checkedAtMs > kept.checkedAtMs ? { ...archive, oci: undefined } : { ...kept, aci: undefined };
}

/** What is remembered of a reference: its digest takes the place of the ETag. */
export function recordOf(imageId: StoredImage['imageId'], digest: Digest, checkedAtMs: number) {
  return { imageId, etag: digest, maxAgeMs: 0, checkedAtMs };
}

async function findArchive(context: FetchContext, { url }: WantedOfRegistry, signal: AbortSignal) {
  const record = await context.store.getRemote(url);
  const aci = record && (await context.store.getImage(record.imageId));
  const { etag = '', checkedAtMs = 0 } = record ?? {};
  if (!aci || !isDigest(etag) || !(await isStored(context, aci, signal))) return undefined;
  return { aci, digest: etag, checkedAtMs };
}

/**
 * The image of the reference, or one for the right platform that came out of the same index. Where signatures are checked
 * it has to have one. What bears another name may be signed for another tag: it counts where no tag is asked for, or where it
 * is what the archive of this reference was made of.
 */
async function findWhole(
  context: FetchContext,
  { name, platform, reference }: WantedOfRegistry,
  archive: StoredImage | undefined,
  signal: AbortSignal,
): Promise<RegistryImage | undefined> {
  const { store, registries, verifier } = context;
  const named = await store.findRegistryImage(name);
  if (!named) return undefined;
  const isOnly = named.index === undefined && !registries.isPlatformAsked;
  const siblings = named.index && !isOnly ? await store.registryImagesOf(named.index.digest) : [];
  const ofRepository = `${reference.host}/${reference.repository}@`;
  const counts = ({ reference: other, manifest }: RegistryImage): boolean =>
    !verifier ||
    (other.startsWith(ofRepository) && (reference.tag === undefined || manifest.digest === archive?.digest));
  const fitting = [named, ...siblings.filter(counts)].filter((one) => isOnly || runsOn(one.platform, platform));
  const image = await findTrusted(context, fitting);
  if (!image) return undefined;
  for (const digest of image.blobs) if (!(await hasBlob(context, { digest }, signal))) return undefined;
  return image;
}

/** @throws KEY_UNKNOWN under the policy `never`, where only its signers speak against one */
async function findTrusted(
  context: FetchContext,
  images: readonly RegistryImage[],
): Promise<RegistryImage | undefined> {
  let refused: ImageError | undefined;
  for (const image of images) {
    const fault = await context.verifier?.signerFault(image, image.reference);
    if (fault === undefined) return image;
    if (fault instanceof ImageError) refused ??= fault;
  }
  if (refused && context.policy === 'never') throw refused;
  return undefined;
}
