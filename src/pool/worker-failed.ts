import { getHeapStatistics } from 'node:v8';

import { ImageError, isImageError } from '../errors.ts';
import { show } from '../image/show.ts';

/**
 * Rethrows what a task failed with a second time. A thread that had no memory left is LIMIT_EXCEEDED, since what it was given
 * took it all; anything else but an ImageError is INTERNAL.
 *
 * @param shown - what it was about, for people.
 */
export function workerFailed(error: unknown, shown: string | undefined): never {
  if (isImageError(error)) throw error;
  if (error instanceof Error && 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY') {
    const maximum = getHeapStatistics().heap_size_limit; // a thread has the same unless it is told otherwise
    const about = shown === undefined ? '' : ` over ${show(shown, 1000)}`;
    const message = `a thread ran out of memory${about}; the limit of its heap is ${Math.round(maximum / 2 ** 20)} MiB`;
    throw new ImageError('LIMIT_EXCEEDED', message, { limit: 'heap', maximum }, { cause: error });
  }
  const what = show(error instanceof Error ? error.message : String(error));
  throw new ImageError('INTERNAL', `a worker failed twice over it: ${what}`, { what: 'worker' }, { cause: error });
}

/** What a task is about, in the words of its request. */
export function shownOf(request: object): string | undefined {
  const { shown, location, digest } = request as Partial<Record<'shown' | 'location' | 'digest', unknown>>; // any of them
  const name = shown ?? location ?? digest;
  return typeof name === 'string' ? name : undefined;
}
