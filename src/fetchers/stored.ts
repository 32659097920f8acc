import { ImageError } from '../errors.ts';
import type { Digest } from '../image/digest.ts';
import { type ImageId, shortImageId } from '../image/image-id.ts';
import { defaultLabels } from '../image/labels.ts';
import type { NameReference } from '../image/reference.ts';
import type { RegistryReference } from '../image/registry-reference.ts';
import { type ByName, findExpected } from '../store/index/lookups.ts';
import type { StoredImage } from '../store/store.ts';
import { stampFile } from '../system/files.ts';
import { abortable } from '../system/single-flight.ts';
import type { Kept, Verifier } from '../verify/verify.ts';
import type { FetchContext, Pin } from './context.ts';
import type { Found } from './found.ts';

/**
 * Whether a stored image may be used: its signers must be trusted now, or it must meet the policy for what is `asked`, and its blob must be unchanged. A blob whose size, time or
 * inode has changed is hashed. Under the policy `never` a damaged blob is an error; otherwise it counts as absent and is fetched
 * again.
 *
 * @throws KEY_UNKNOWN, POLICY_REFUSED, STORE_CORRUPT under the pull policy `never`.
 */
export async function isStored(
  context: FetchContext,
  image: StoredImage,
  signal: AbortSignal,
  asked?: RegistryReference,
): Promise<boolean> {
  const fault = await context.verifier?.signerFault(image, image.name, kept(context, image.imageId, asked));
  if (fault instanceof ImageError && context.policy === 'never') throw fault;
  return fault === undefined && (await isIntact(context, image.imageId, signal));
}

type Fault = NonNullable<Awaited<ReturnType<Verifier['signerFault']>>>;

/** What the store has of the proofs of an image. @param image - its ID, or the reference of a registry image */
export function kept({ store }: Pick<FetchContext, 'store'>, image: string, asked?: RegistryReference): Kept {
  return { proofs: () => store.proofsOf(image), ...(asked && { asked }) };
}

/** Says who has signed a stored image by what the policy of today finds, if one decides about it. */
export async function withSigners<T extends Pick<Found, 'image'>>(
  { verifier }: FetchContext,
  found: T,
  proofs: Kept,
): Promise<T & Pick<Found, 'signedBy'>> {
  const signedBy = verifier?.hasPolicy ? await verifier.policySigners(found.image, proofs) : undefined;
  return signedBy ? { ...found, signedBy } : found;
}

/** The error for a stored image whose signers do not count now. @param what - the name of the image in the message. */
export function signerRefusal(fault: Fault, what: string, { source }: { readonly source: string }): ImageError {
  if (fault !== 'unverified') return fault;
  const message = `${what} was stored without verification, from ${source}`;
  return new ImageError('SIGNATURE_MISSING', message, { location: source });
}

/** Returns the image if it may be used and nothing of it is missing, and records its use. @throws as isStored */
export async function takeStored(
  context: FetchContext,
  image: StoredImage | undefined,
  signal: AbortSignal,
): Promise<StoredImage | undefined> {
  if (!image || !(await isStored(context, image, signal)) || (await lacksArchive(context, image, signal)))
    return undefined;
  context.store.touch(image.imageId);
  return image;
}

/**
 * Whether an image has to be fetched for its archive, since that is to be kept: with a signature that is about it, unless nothing is
 * verified. What was made of an image of a registry never had one.
 */
export async function lacksArchive(
  context: FetchContext,
  { imageId, source }: StoredImage,
  signal: AbortSignal,
): Promise<boolean> {
  if (!context.keepArchives || context.policy === 'never' || source.startsWith('docker://')) return false;
  const archive = await context.store.archiveOf(imageId);
  if (!archive || (context.verifier && archive.signatures.length === 0)) return true;
  return !(await hasBlob(context, archive, signal));
}

async function isIntact(
  { store, pool, policy }: FetchContext,
  imageId: ImageId,
  signal: AbortSignal,
): Promise<boolean> {
  const state = await store.blobState(imageId);
  if (state === 'intact') return true;
  const path = store.blobPath(imageId);
  const before = state === 'changed' ? stampFile(path) : undefined;
  if (before) {
    const { hex } = await abortable(pool.run('reHash', { path, algorithm: 'sha512' }), signal);
    if (`sha512-${hex}` === imageId) {
      await store.confirmBlob(imageId, before.stamp);
      return true;
    }
  }
  if (policy !== 'never') return false;
  const what = state === 'missing' ? 'is missing' : 'does not hash to its ID';
  throw new ImageError('STORE_CORRUPT', `the blob of ${shortImageId(imageId)} ${what}`, { path });
}

/** Whether the store has a blob of a registry. If its stamp differs from that in the index, it is hashed first. */
export async function hasBlob(
  { store, pool }: FetchContext,
  { digest, size }: { readonly digest: Digest; readonly size?: number },
  signal: AbortSignal,
): Promise<boolean> {
  const state = await store.digestState(digest, size);
  if (state !== 'changed') return state === 'intact';
  const path = store.digestPath(digest);
  const before = stampFile(path);
  if (!before) return false;
  const { hex } = await abortable(pool.run('reHash', { path, algorithm: 'sha256' }), signal);
  if (`sha256:${hex}` !== digest) return false;
  await store.confirmDigest(digest, before.stamp);
  return true;
}

/** A requested name with its labels; `defaults` has os and arch if the request has none. */
export type WantedName = ByName & Required<Pick<ByName, 'defaults'>> & Pick<Pin, 'held'>;

export function wantedName({ platform }: FetchContext, { name, labels }: NameReference, pin: Pin = {}): WantedName {
  const all = defaultLabels(labels, platform);
  const defaults = new Map([...all].filter(([label]) => !labels.has(label)));
  return { name, labels, defaults, ...pin };
}

/**
 * As findStored, for what most lookups find: an intact image of verified signers. Without a promise, unless the trusted keys have to be
 * read. If undefined, findStored has to be asked.
 */
export function findIntact(context: FetchContext, wanted: WantedName): AtOnce<StoredImage> {
  const { store, verifier } = context;
  if (wanted.imageId !== undefined || wanted.size !== undefined || store.closed.aborted) return undefined;
  if (context.keepArchives) return undefined;
  const image = store.findIntactAtOnce(wanted.name, wanted.labels, wanted.defaults);
  if (!image) return undefined;
  const take = (isAccepted: boolean): StoredImage | undefined => {
    if (isAccepted) store.touch(image.imageId);
    return isAccepted ? image : undefined;
  };
  const isAccepted = verifier ? verifier.acceptsAtOnce(image, image.name) : true;
  if (isAccepted !== undefined) return take(isAccepted);
  return verifier
    ?.signerFault(image, image.name, kept(context, image.imageId))
    .then((fault) => take(fault === undefined));
}

/** A promise only where something has to be waited for: thousands of promises take longer than what they stand for. */
export type AtOnce<T> = T | undefined | Promise<T | undefined>;

/** Finds the stored image for a name: a pinned image by its ID, else the best one with that name. */
export async function findStored(
  context: FetchContext,
  wanted: WantedName,
  signal: AbortSignal,
): Promise<StoredImage | undefined> {
  return takeStored(context, await findExpected(context.store, wanted), signal);
}
