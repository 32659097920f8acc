import { ImageError, isImageError } from '../errors.ts';
import { show } from '../image/show.ts';

/** Rethrows what a task failed with a second time: anything but an ImageError is INTERNAL now. */
export function workerFailed(error: unknown): never {
  if (isImageError(error)) throw error;
  const what = show(error instanceof Error ? error.message : String(error));
  throw new ImageError('INTERNAL', `a worker failed twice over it: ${what}`, { what: 'worker' }, { cause: error });
}
