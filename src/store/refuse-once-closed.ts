import { closedError, hasCode, ImageError, isImageError } from '../errors.ts';
import type { Store } from './store.ts';

type Members = Omit<Store, 'close' | typeof Symbol.asyncDispose>;

/** What they say of a path is true of a closed store too. All that is in none of these lists returns a promise. */
const pure = ['blobPath', 'digestPath'] as const satisfies readonly (keyof Members)[];
const immediate = [
  'temporaryPath',
  'touch',
  'touchRegistryImage',
  'findIntactAtOnce',
] as const satisfies readonly (keyof Members)[];
const iterated = [
  'images',
  'unreferenced',
  'blobRows',
  'registryImages',
  'unlistedBlobs',
] as const satisfies readonly (keyof Members)[];

/**
 * The same members, but all but paths is CLOSED once the signal is aborted: what is asked for then, what fails after it, whatever
 * the failure, and the next item of what is iterated.
 */
export function refuseOnceClosed(members: Members): Members {
  const { closed } = members;
  const requireOpen = (): void => {
    if (closed.aborted) throw closedError('store');
  };

  const wrap = (name: string, member: unknown): unknown => {
    if (typeof member !== 'function' || (pure as readonly string[]).includes(name)) return member;
    const call = member as (...given: unknown[]) => unknown; // no member has a `this`
    if ((immediate as readonly string[]).includes(name)) {
      return (...given: unknown[]) => {
        requireOpen();
        return call(...given);
      };
    }
    if ((iterated as readonly string[]).includes(name)) {
      return async function* whileOpen(...given: unknown[]): AsyncGenerator {
        requireOpen();
        try {
          for await (const item of call(...given) as AsyncIterable<unknown>) {
            requireOpen();
            yield item;
            requireOpen();
          }
          requireOpen();
        } catch (error) {
          throw orClosed(error, closed);
        }
      };
    }
    return async (...given: unknown[]) => {
      requireOpen();
      try {
        return await call(...given);
      } catch (error) {
        throw orClosed(error, closed);
      }
    };
  };

  const wrapped = Object.entries(members).map(([name, member]) => [name, wrap(name, member)]);
  return Object.fromEntries(wrapped) as Members; // each has the type of what it wraps
}

/** What fails after the store was closed fails since it was closed. */
export function orClosed(error: unknown, closed: AbortSignal): unknown {
  if (!closed.aborted || hasCode(error, 'CLOSED')) return error;
  const { code, message, details } = closedError('store');
  return new ImageError(code, message, details, isImageError(error) ? { cause: error } : {});
}
