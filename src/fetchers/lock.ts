import { isAbsolute, normalize } from 'node:path';

import { hasCode, ImageError, isImageError } from '../errors.ts';
import type { Digest } from '../image/digest.ts';
import { type ImageId, shortId } from '../image/image-id.ts';
import { formatReference, type ImageReference } from '../image/reference.ts';
import { showUrl } from '../image/show.ts';
import type { FetchContext, Pin } from './context.ts';
import type { Found } from './found.ts';

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
 * Fetches an image that must be the one in the lock, if the lock has an entry for it.
 *
 * @param fetch - called with the ID in the lock, so that no other image is committed.
 * @param idOf - the ID of an image for the lock.
 * @throws LOCK_MISMATCH
 */
export async function fetchLocked(
  { lock, promoted }: Pick<FetchContext, 'lock' | 'promoted'>,
  name: string,
  fetch: (locked: ImageId | Digest | undefined) => Promise<Found>,
  idOf: (found: Found) => ImageId | Digest,
): Promise<Found> {
  if (!lock) return fetch(undefined);
  const locked = lock.images.get(name);
  if (locked === undefined && lock.frozen) {
    throw new ImageError('LOCK_MISMATCH', 'the lock file does not have it', { reference: name, why: 'missing' });
  }
  const found = await fetch(locked).catch((error: unknown) => {
    throw locked !== undefined && isOther(error) ? lockMismatch(name, locked, differenceOf(error), error) : error;
  });
  const id = idOf(found);
  if (locked !== undefined && id !== locked) throw lockMismatch(name, locked, `it is ${shortId(id)}`);
  const note = (): void => void lock.onFound(name, id);
  if (promoted) void promoted.then(note);
  else note();
  return found;
}

export function lockMismatch(reference: string, locked: ImageId | Digest, what: string, cause?: unknown): ImageError {
  const message = `the lock file says ${shortId(locked)}, but ${what}`;
  return new ImageError('LOCK_MISMATCH', message, { reference }, { cause });
}

function differenceOf(error: ImageError): string {
  return hasCode(error, 'IMAGE_ID_MISMATCH') ? `the image is ${shortId(error.details.found)}` : error.message;
}

/** Whether an error means that the image is another one: the locked image had the requested name, labels and size. */
function isOther(error: unknown): error is ImageError {
  return isImageError(error) && /^(NAME|LABEL|IMAGE_ID|SIZE)_MISMATCH$/.test(error.code);
}
