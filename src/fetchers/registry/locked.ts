import { type Digest, isDigest } from '../../image/digest.ts';
import { formatPlatformChoice, type PlatformChoice } from '../../image/platform.ts';
import type { RegistryReference } from '../../image/registry-reference.ts';
import type { FetchContext, Held, LockedImage } from '../context.ts';
import { type Found, signersOf } from '../found.ts';
import { checkSigners, heldBy, lockedSigners, lockMismatch, missingInLock, nameInLock, noteFound } from '../lock.ts';

/** The digests that an image for one platform must have. */
export type LockedDigests = {
  /** What the lock says; absent if only the index is known that its other platforms came from. */
  readonly held?: Held | undefined;
  /** Of what its reference stands for. It is asked for by this digest, whatever a tag stands for now. */
  readonly root?: Digest | undefined;
  readonly manifest?: Digest | undefined;
};

/** What the lock says of a reference. @throws LOCK_MISMATCH if it is frozen and has no entry, or if that contradicts the reference */
export function heldImage({ lock }: Pick<FetchContext, 'lock'>, reference: RegistryReference): Held | undefined {
  const held = heldBy(lock, nameInLock(reference));
  if (!held || reference.digest === undefined || (held.digest ?? reference.digest) === reference.digest) return held;
  throw lockMismatch(held, `${reference.digest} is asked for`);
}

/**
 * What an image for one platform must be.
 *
 * @param root - what the reference stands for, if an image for another platform has been fetched.
 * @throws LOCK_MISMATCH if the lock is frozen and does not have the platform
 */
export function lockedDigests(
  { lock }: Pick<FetchContext, 'lock'>,
  held: Held | undefined,
  platform: PlatformChoice,
  root: Digest | undefined,
): LockedDigests | undefined {
  if (!held) return root === undefined ? undefined : { root };
  const { platforms = {} } = held;
  const name = formatPlatformChoice(platform);
  const manifest = Object.hasOwn(platforms, name) ? platforms[name] : undefined;
  if (manifest !== undefined || !lock?.frozen) return { held, root: held.digest, manifest };
  const others = Object.keys(platforms).join(', ') || 'no platform';
  throw missingInLock(held.reference, `the lock file has it for ${others} only, and not for ${name}`);
}

/** Whether an image is another than the locked one. @param root - what its reference stood for when it was fetched. */
export function isOtherThan(
  locked: LockedDigests | undefined,
  { root, manifest }: { readonly root: Digest | undefined; readonly manifest: string },
): boolean {
  if (locked?.root !== undefined && locked.root !== root) return true;
  return locked?.manifest !== undefined && locked.manifest !== manifest;
}

/** @throws LOCK_MISMATCH if it is another image. */
export function checkDigests(
  locked: LockedDigests | undefined,
  found: { readonly root: Digest | undefined; readonly manifest: string },
): void {
  const { held, manifest } = locked ?? {};
  if (!held || !isOtherThan(locked, found)) return;
  throw lockMismatch({ ...held, digest: manifest ?? held.digest }, `it is ${found.manifest}`);
}

/** @throws LOCK_MISMATCH if it is another image, or one that other keys have signed */
export function checkLocked(
  { verifier }: Pick<FetchContext, 'verifier'>,
  locked: LockedDigests | undefined,
  found: Pick<Found, 'root' | 'image' | 'signedBy'>,
): void {
  checkDigests(locked, { root: found.root, manifest: found.image.digest });
  if (verifier) checkSigners(locked?.held, signersOf(found));
}

/** Tells who writes a lock of an image. @param images - what was found for the platforms, in the same order. */
export function noteImages(
  context: FetchContext,
  reference: RegistryReference,
  held: Held | undefined,
  images: readonly { readonly platform: PlatformChoice; readonly found: Found }[],
): void {
  if (!context.lock) return;
  const roots = new Set(images.map(({ found }) => found.root));
  const [root] = roots;
  const digest = held?.digest ?? (roots.size === 1 ? root : undefined);
  const found = images.flatMap(({ platform, found: { image } }) =>
    isDigest(image.digest) ? [[formatPlatformChoice(platform), image.digest] as const] : [],
  );
  const signers = new Set(images.flatMap((one) => signersOf(one.found)));
  const image: LockedImage = {
    ...(digest !== undefined && { digest }),
    platforms: { ...held?.platforms, ...Object.fromEntries(found) },
    ...(held?.digest === undefined ? lockedSigners([...signers]) : { signedBy: held.signedBy }),
  };
  noteFound(context, nameInLock(reference), image);
}
