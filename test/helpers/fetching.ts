import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { ExecutionContext } from 'ava';

import { type BatchCall, createApps } from '../../src/index.ts';
import {
  type ActionOptions,
  createFinder,
  type Finder,
  type ImageError,
  type ImageId,
  isImageError,
  openStore,
  type Outcome,
  type Store,
} from '../../src/internal.ts';
import { sharedPool } from './shared-pool.ts';
import { temporaryDirectory } from './stored.ts';

export type Fetching = {
  /** The store is `store` in it. */
  readonly directory: string;
  readonly store: Store;
  /** One more finder on the store; it does not repeat what fails. */
  finder(this: void, options?: Partial<ActionOptions>): Finder;
  /** Fetches one image; calls with the same options share a finder. */
  fetch(this: void, image: string, options?: Partial<ActionOptions>): Promise<Outcome>;
  /** Fetches a list, likewise. */
  fetchAll(
    this: void,
    images: readonly string[],
    options?: Partial<ActionOptions>,
    call?: BatchCall,
  ): Promise<readonly Outcome[]>;
  /** Everything that is listed, by import. */
  listed(this: void): Promise<readonly ImageId[]>;
  /** Files and directories of transfers that the store still has. */
  leftovers(this: void): Promise<readonly string[]>;
};

/** A real store in a fresh directory, and finders on it that share the threads of the file; all closed when the test ends. */
export async function openFetching(t: ExecutionContext, base: Partial<ActionOptions> = {}): Promise<Fetching> {
  const directory = await temporaryDirectory(t);
  // without a thread for the index, as the command for a few images; five times as cheap as with one
  const store = await openStore({ dir: join(directory, 'store'), writesLittle: true });
  t.teardown(() => store.close());
  const finder: Fetching['finder'] = (options = {}) => {
    const opened = createFinder({ store, retries: 0, pool: sharedPool, ...base, ...options });
    t.teardown(() => opened.close());
    return opened;
  };
  const shared = new Map<string, Finder>();
  const sharedFinder = (options: Partial<ActionOptions>): Finder => {
    if (options.onEvent ?? options.transport) return finder(options);
    const key = JSON.stringify(options);
    const known = shared.get(key) ?? finder(options);
    shared.set(key, known);
    return known;
  };
  const fetchAll: Fetching['fetchAll'] = async (images, options = {}, call = {}) =>
    (await sharedFinder(options).findImages(createApps(images), call)).outcomes;
  return {
    directory,
    store,
    finder,
    fetchAll,
    async fetch(image, options) {
      const [outcome] = await fetchAll([image], options);
      if (!outcome) throw new Error('no outcome');
      return outcome;
    },
    listed: async () => (await Array.fromAsync(store.images())).map(({ imageId }) => imageId),
    async leftovers() {
      const found = await readdir(store.dir, { recursive: true });
      return found.filter((path) => /^downloads\/|^tmp\/[^/]+\/\d+$/.test(path));
    },
  };
}

/** The code of an outcome's error, with those of its causes. */
export function codesOf({ error }: { readonly error?: ImageError | undefined }): readonly string[] {
  return error ? [error.code, ...codesOf({ error: isImageError(error.cause) ? error.cause : undefined })] : [];
}
