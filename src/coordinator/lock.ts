import { hasCode, ImageError } from '../errors.ts';
import type { FetchRequest } from '../fetchers/context.ts';
import type { Found } from '../fetchers/found.ts';
import type { Digest } from '../image/digest.ts';
import { isImageId, shortId, type ImageId } from '../image/image-id.ts';
import { formatReference, type ImageReference } from '../image/reference.ts';
import { showReference } from '../image/show-reference.ts';
import { showUrl } from '../image/show-url.ts';

/** What references were found to be, and have to be again. */
export type Lock = {
  /** By reference, as nameInLock has it: the image ID; of what is kept as a registry has it, its manifest's digest. */
  readonly images: ReadonlyMap<string, ImageId | Digest>;
  /** Nothing else is fetched. */
  readonly frozen: boolean;
  /** Told what a reference was found to be, whether the lock has it or not. */
  readonly onFound: (reference: string, imageId: ImageId | Digest) => void;
};

type Request = FetchRequest<ImageReference>;

/** The same text for the same reference, and nothing that is secret: a file as it was typed, a URL without its query. */
function nameInLock(reference: ImageReference): string {
  if (reference.kind === 'file') return showReference(reference.text);
  return reference.kind === 'url' ? showUrl(reference.url) : formatReference(reference);
}

/**
 * Fetches what the lock says, or what it says nothing of. An archive that is another one does not become visible.
 *
 * @throws LOCK_MISMATCH
 */
export async function holdToLock(
  { images, frozen, onFound }: Lock,
  request: Request,
  fetch: (request: Request) => Promise<Found>,
): Promise<Found> {
  const reference = nameInLock(request.reference);
  const locked = images.get(reference);
  if (locked === undefined && frozen) {
    throw new ImageError('LOCK_MISMATCH', 'the lock file does not have it', { reference });
  }
  const found = await (locked === undefined ? fetch(request) : fetchLocked({ reference, locked }, request, fetch));
  onFound(reference, found.image.imageId);
  return found;
}

async function fetchLocked(
  { reference, locked }: { readonly reference: string; readonly locked: ImageId | Digest },
  request: Request,
  fetch: (request: Request) => Promise<Found>,
): Promise<Found> {
  const mismatch = (found: string, cause?: unknown): ImageError<'LOCK_MISMATCH'> => {
    const message = `the image is ${shortId(found)}, the lock file says ${shortId(locked)}`;
    return new ImageError('LOCK_MISMATCH', message, { reference }, { cause });
  };
  const pinned = request.pin?.imageId;
  if (pinned !== undefined && !locked.startsWith(pinned)) throw mismatch(pinned);
  const pin = isImageId(locked) ? { ...request.pin, imageId: locked } : request.pin;
  try {
    const found = await fetch({ ...request, pin });
    if (found.image.imageId !== locked) throw mismatch(found.image.imageId);
    return found;
  } catch (error) {
    throw hasCode(error, 'IMAGE_ID_MISMATCH') ? mismatch(error.details.found, error) : error;
  }
}
