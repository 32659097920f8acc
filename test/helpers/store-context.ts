import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import type { Pool } from '../../src/pool/pool.ts';
import { openStore } from '../../src/store/open-store.ts';
import type { Store } from '../../src/store/store.ts';
import { sharedPool } from './shared-pool.ts';
import { temporaryDirectory } from './stored.ts';

export type StoreContext = { readonly store: Store; readonly pool: Pool };

/** A real store, closed when the test ends, and the threads of the file. */
export async function storeContext(t: ExecutionContext): Promise<StoreContext> {
  // without a thread for the index, as the command for a few images
  const store = await openStore({ dir: join(await temporaryDirectory(t), 'store'), writesLittle: true });
  t.teardown(() => store.close());
  return { store, pool: sharedPool };
}

/** One store for all tests of a file, gone after the last of them. Each test names its own images. */
export async function sharedContext(): Promise<StoreContext> {
  const parent = await mkdtemp(join(tmpdir(), 'longshore-test-'));
  const store = await openStore({ dir: join(parent, 'store') });
  test.after.always(async () => {
    await store.close();
    await rm(parent, { recursive: true });
  });
  return { store, pool: sharedPool };
}
