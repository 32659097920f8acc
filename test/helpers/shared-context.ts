import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';

import { openPool } from '../../src/pool/pool.ts';
import { openStore } from '../../src/store/open-store.ts';

/** One store and one thread for all tests of a file, gone after the last of them. Each test names its own images. */
export async function sharedContext() {
  const parent = await mkdtemp(join(tmpdir(), 'longshore-test-'));
  const store = await openStore({ dir: join(parent, 'store') });
  const pool = openPool({ workers: 1, sessionsPerWorker: 4 });
  test.after.always(async () => {
    await Promise.all([pool.close(), store.close()]);
    await rm(parent, { recursive: true });
  });
  return { store, pool };
}
