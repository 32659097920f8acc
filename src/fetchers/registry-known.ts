import { ImageError } from '../errors.ts';
import { isDigest, type Digest } from '../image/digest.ts';
import { runsOn } from '../registry/choose-platform.ts';
import type { RegistryImage } from '../store/registry-store.ts';
import type { StoredImage } from '../store/store.ts';
import type { FetchContext } from './context.ts';
import { hasBlob, isUsable, signerFault } from './usable.ts';
import type { WantedOfRegistry } from './registry-wanted.ts';

/** What the store has of a reference. */
export type KnownOfRegistry = {
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
): Promise<KnownOfRegistry | undefined> {
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
  if (!aci || !isDigest(etag) || !(await isUsable(context, aci, signal))) return undefined;
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
  const { store, registries, keystore } = context;
  const named = await store.findRegistryImage(name);
  if (!named) return undefined;
  const isOnly = named.index === undefined && !registries.isPlatformAsked;
  const siblings = named.index && !isOnly ? await store.registryImagesOf(named.index.digest) : [];
  const ofRepository = `${reference.host}/${reference.repository}@`;
  const counts = ({ reference: other, manifest }: RegistryImage): boolean =>
    !keystore ||
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
    const fault = await signerFault(context, image, image.reference);
    if (fault === undefined) return image;
    if (fault instanceof ImageError) refused ??= fault;
  }
  if (refused && context.policy === 'never') throw refused;
  return undefined;
}
