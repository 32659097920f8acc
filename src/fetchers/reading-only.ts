import type { FetchContext } from './context.ts';

/** The same, but what a look at the store would note down there is forgotten. */
export function readingOnly(context: FetchContext): FetchContext {
  return {
    ...context,
    store: {
      ...context.store,
      touch: () => undefined,
      touchRegistryImage: () => undefined,
      confirmBlob: () => Promise.resolve(),
      confirmDigest: () => Promise.resolve(),
    },
  };
}
