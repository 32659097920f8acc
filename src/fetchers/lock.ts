import { isAbsolute, normalize } from 'node:path';

import { hasCode, ImageError, isImageError } from '../errors.ts';
import { isDigest } from '../image/digest.ts';
import { shortId } from '../image/image-id.ts';
import { formatReference, type ImageReference } from '../image/reference.ts';
import { showUrl } from '../image/show.ts';
import type { FetchContext, Held, ImageLock, Lock, LockedImage, Pin } from './context.ts';
import { type Found, signersOf } from './found.ts';

/** The key of a reference in a lock. It contains no secrets: URLs have no credentials and no query. */
export function nameInLock(reference: ImageReference, pin: Pin = {}): string {
  switch (reference.kind) {
    case 'file':
      return nameOfFile(/^file:/i.test(reference.text) ? reference.path : reference.text);
    case 'url':
      return showUrl(reference.url);
    default:
      return formatReference(reference) + (pin.imageId === undefined ? '' : `@${pin.imageId}`);
  }
}

/** A path as the user wrote it, so that a lock may be moved together with its files; it never looks like an image name. */
function nameOfFile(path: string): string {
  const plain = normalize(path);
  return isAbsolute(plain) || plain.startsWith('../') ? plain : `./${plain}`;
}

/**
 * The images of a lock. Where it has only the ID of an image, as the first form of lock files has it, the name of a registry image ends
 * with its platform: `docker://host/name:tag#linux/amd64`.
 */
export function lockedImages(images: ImageLock['images']): Lock['images'] {
  const all = new Map<string, LockedImage>();
  for (const [name, image] of images) {
    if (typeof image !== 'string') {
      all.set(name, image);
      continue;
    }
    const [, reference, platform] = /^(docker:.*)#([^#]*)$/.exec(name) ?? [];
    if (reference === undefined || platform === undefined || !isDigest(image)) all.set(name, { imageID: image });
    else all.set(reference, { platforms: { ...all.get(reference)?.platforms, [platform]: image } });
  }
  return all;
}

/** What a lock says of a reference. @throws LOCK_MISMATCH if it is frozen and has no entry */
export function heldBy(lock: Lock | undefined, reference: string): Held | undefined {
  const image = lock?.images.get(reference);
  if (image) return { ...image, reference };
  if (lock?.frozen) throw missingInLock(reference, 'the lock file does not have it');
  return undefined;
}

export function missingInLock(reference: string, message: string): ImageError<'LOCK_MISMATCH'> {
  return new ImageError('LOCK_MISMATCH', message, { reference, why: 'missing' });
}

/** The pin of an archive that a lock has. @throws LOCK_MISMATCH if another one is needed */
export function pinnedBy(held: Held, pin: Pin | undefined): Pin {
  const needed = pin?.imageId ?? '';
  if (held.imageID?.startsWith(needed) === false) throw lockMismatch(held, `${needed} is needed`);
  return { ...pin, ...(held.imageID !== undefined && { imageId: held.imageID }), held };
}

/**
 * Fetches an archive that must be the one in the lock, if the lock has an entry for it.
 *
 * @param fetch - called with what the lock says, so that no other image is committed.
 * @param describe - what a lock is to have of the image.
 * @throws LOCK_MISMATCH
 */
export async function fetchLocked(
  context: FetchContext & { readonly lock: Lock },
  name: string,
  fetch: (held: Held | undefined) => Promise<Found>,
  describe: (found: Found) => Promise<LockedImage>,
): Promise<Found> {
  const { lock, verifier } = context;
  const held = heldBy(lock, name);
  const found = await fetch(held).catch((error: unknown) => {
    throw asMismatch(held, error);
  });
  const { imageId } = found.image;
  if (held && imageId !== held.imageID) throw lockMismatch(held, `it is ${shortId(imageId)}`);
  if (held && verifier) checkSigners(held, signersOf(found));
  const image = held?.digest === undefined ? await describe(found) : held;
  noteFound(context, name, image);
  return found;
}

/** Tells who writes a lock of an image; of a prefetched one when a verified image asks for it. */
export function noteFound({ lock, promoted }: FetchContext, name: string, image: LockedImage): void {
  const { imageID, digest, url, signature, platforms, signedBy } = image;
  const plain = {
    ...(imageID !== undefined && { imageID }),
    ...(digest !== undefined && { digest }),
    ...(url !== undefined && { url }),
    ...(signature !== undefined && { signature }),
    ...(platforms && { platforms }),
    ...(signedBy && { signedBy }),
  };
  const id = imageID ?? digest ?? Object.values(platforms ?? {})[0];
  const note = (): void => void (id !== undefined && lock?.onFound(name, id, plain));
  if (promoted) void promoted.then(note);
  else note();
}

/** Checks the bytes of an archive as they were transferred. @throws LOCK_MISMATCH */
export function checkTransferred(held: Held | undefined, digest: string): void {
  if (held?.digest === undefined || held.digest === digest) return;
  throw lockMismatch(held, `other bytes came: ${digest} instead of ${held.digest}`);
}

/** Checks that one of the locked keys signed an image, if it was signed when it was locked. @throws LOCK_MISMATCH */
export function checkSigners(held: Held | undefined, signedBy: readonly string[]): void {
  const wanted = held?.signedBy ?? [];
  if (!held || wanted.length === 0 || signedBy.some((fingerprint) => wanted.includes(fingerprint))) return;
  const signers = signedBy.length === 0 ? 'it is not signed' : `it is signed by ${signedBy.join(', ')}`;
  throw lockMismatch(held, `${signers}, and not by ${wanted.join(', ')}`);
}

export function lockMismatch({ reference, ...locked }: Held, what: string, cause?: unknown): ImageError {
  const id = locked.imageID ?? locked.digest ?? Object.values(locked.platforms ?? {})[0] ?? 'otherwise';
  const message = `the lock file says ${shortId(id)}, but ${what}`;
  return new ImageError('LOCK_MISMATCH', message, { reference }, { cause });
}

/** The error of an image that the lock has, if it is another one; else the error as it is. */
export function asMismatch(held: Held | undefined, error: unknown): unknown {
  return held && isOther(error) ? lockMismatch(held, differenceOf(error), error) : error;
}

function differenceOf(error: ImageError): string {
  return hasCode(error, 'IMAGE_ID_MISMATCH') ? `the image is ${shortId(error.details.found)}` : error.message;
}

/** Whether an error means that the image is another one: the locked image had the requested name, labels and size. */
function isOther(error: unknown): error is ImageError {
  return isImageError(error) && /^(NAME|LABEL|IMAGE_ID|SIZE)_MISMATCH$/.test(error.code);
}

/** Sorted, so that a lock file does not depend on the order in which keys were tried. */
export function lockedSigners(signedBy: readonly string[]): Pick<LockedImage, 'signedBy'> {
  return signedBy.length > 0 ? { signedBy: signedBy.toSorted() } : {};
}
