import { ImageError } from '../errors.ts';
import { type Digest, isDigest } from '../image/digest.ts';
import { shortImageId } from '../image/image-id.ts';
import type { IdReference } from '../image/reference.ts';
import { parseRegistryReference } from '../image/registry-reference.ts';
import { runsOn } from '../registry/choose-platform.ts';
import type { Verifier } from '../verify/verify.ts';
import type { FetchContext, FetchRequest } from './context.ts';
import { type Found, present } from './found.ts';
import { describeRegistryImage } from './registry/image.ts';
import { hasBlob, isStored } from './stored.ts';

/** Finds an image by ID, in the store only. */
export async function findById(
  context: FetchContext,
  { reference }: FetchRequest<IdReference>,
  signal: AbortSignal,
): Promise<Found> {
  if (isDigest(reference.prefix)) return findByDigest(context, reference.prefix, signal);
  const imageId = await context.store.resolveId(reference.prefix);
  const image = await context.store.getImage(imageId);
  if (!image) throw new ImageError('NOT_IN_STORE', 'the store has no image of this ID', { asked: reference.text });
  const fault = await context.verifier?.signerFault(image, image.name);
  if (fault !== undefined) throw refusal(fault, shortImageId(imageId), image);
  if (!(await isStored(context, image, signal))) {
    const path = context.store.blobPath(imageId);
    throw new ImageError('STORE_CORRUPT', `the blob of ${shortImageId(imageId)} is damaged or missing`, { path });
  }
  context.store.touch(imageId);
  return present(image);
}

/**
 * Finds a registry image that is stored without conversion. Of several references to it, a verified one is used; of several images
 * of one index, the one for the platform.
 */
async function findByDigest(context: FetchContext, digest: Digest, signal: AbortSignal): Promise<Found> {
  const { store, registries } = context;
  const [platform] = registries.platforms;
  const all = await store.registryImagesOf(digest);
  const faults = await Promise.all(all.map(async (one) => context.verifier?.signerFault(one, one.reference)));
  const good = all.filter((_, index) => faults[index] === undefined);
  const image = good.find((one) => runsOn(one.platform, platform)) ?? good[0];
  if (!image) {
    const [refused] = all;
    if (!refused) throw new ImageError('NOT_IN_STORE', 'the store has no image of this digest', { asked: digest });
    throw refusal(faults.find((fault) => fault instanceof ImageError) ?? 'unverified', 'it', refused);
  }
  for (const blob of image.blobs) {
    if (await hasBlob(context, { digest: blob }, signal)) continue;
    const path = store.digestPath(blob);
    throw new ImageError('STORE_CORRUPT', `the blob ${blob} of it is damaged or missing`, { path });
  }
  store.touchRegistryImage(image.reference);
  return present(describeRegistryImage(parseRegistryReference(image.reference), image));
}

type Fault = NonNullable<Awaited<ReturnType<Verifier['signerFault']>>>;

/** @param what - the name of the image in the message. */
function refusal(fault: Fault, what: string, { source }: { readonly source: string }): ImageError {
  if (fault !== 'unverified') return fault;
  const message = `${what} was stored without verification, from ${source}`;
  return new ImageError('SIGNATURE_MISSING', message, { location: source });
}
