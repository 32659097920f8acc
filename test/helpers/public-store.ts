import { join } from 'node:path';

import type { ExecutionContext } from 'ava';

import { openStore, type Store } from '../../src/index.ts';
import { temporaryDirectory } from './stored.ts';

/** A store as a program gets it, in a fresh directory; closed when the test ends. */
export async function openPublic(t: ExecutionContext): Promise<{ readonly store: Store; readonly directory: string }> {
  const directory = await temporaryDirectory(t);
  const store = await openStore({ dir: join(directory, 'store') });
  t.teardown(() => store.close());
  return { store, directory };
}
