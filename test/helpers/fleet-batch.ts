import { randomBytes } from 'node:crypto';

import type { Batch } from '../../src/fleet/batch.ts';

const day = 24 * 60 * 60_000;

/** A batch of one image, which nobody brings. */
export function batchOf(part: Partial<Batch> = {}): Batch {
  const now = Date.now();
  return {
    id: randomBytes(16).toString('hex'),
    name: 'nightly',
    createdAtMs: now,
    expiresAtMs: now + day,
    use: 'shard',
    scoped: false,
    noOverwrite: false,
    withDeps: true,
    platform: [],
    referrers: false,
    perHost: 64,
    keepResultsMs: day,
    images: [{ image: 'docker://registry.test/app:1', type: 'docker' }],
    ...part,
  };
}
