import { isAbsolute, normalize } from 'node:path';

import { hasCode, ImageError, isImageError } from '../errors.ts';
import type { Digest } from '../image/digest.ts';
import { type ImageId, shortId } from '../image/image-id.ts';
import { formatReference, type ImageReference } from '../image/reference.ts';
import { showUrl } from '../image/show.ts';
import type { FetchContext, Pin } from './context.ts';
import type { Found } from './found.ts';

/** The same text for the same reference, and nothing that is secret: URLs come without credentials and query. */
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

/** As it was typed, so that a lock may travel with what it names; never taken for a name. */
function nameOfFile(path: string): string {
  const plain = normalize(path);
  return isAbsolute(plain) || plain.startsWith('../') ? plain : `./${plain}`;
}

/**
 * Has something fetched that must be what the lock says, if it says anything of it.
 *
 * @param fetch - is told what the lock says, so that nothing else becomes visible.
 * @param idOf - what the lock keeps of it.
 * @throws LOCK_MISMATCH
 */
export async function holdToLock(
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
  const note = (): void => lock.onFound(name, id);
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

/** What was locked had the name, the labels and the size that were asked for: what has not is another image. */
function isOther(error: unknown): error is ImageError {
  return isImageError(error) && /^(NAME|LABEL|IMAGE_ID|SIZE)_MISMATCH$/.test(error.code);
}
