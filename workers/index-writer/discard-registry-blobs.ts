import { lstatSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';

import type { ForeignBlobs } from './foreign-blobs.ts';
import type { RegistryRows } from './registry-rows.ts';
import { withTransaction, withWriteLock } from './transaction.ts';

type Discarding = {
  readonly db: DatabaseSync;
  readonly registry: RegistryRows;
  readonly foreign: ForeignBlobs;
  /** The directory. */
  readonly registryBlobs: string;
};

/**
 * Removes those of the blobs that nobody needs any more.
 *
 * @returns bytes given back.
 */
export function discardRegistryBlobs(
  { db, registry, foreign, registryBlobs }: Discarding,
  digests: readonly string[],
): number {
  const isGarbage = (digest: string): boolean =>
    !registry.isNeeded(digest) && registry.blob(digest)?.owner === null && !foreign.has(`sha256:${digest}`);
  let bytes = 0;
  withWriteLock(db, () => {
    for (const digest of digests.filter(isGarbage)) {
      const path = join(registryBlobs, digest);
      const stat = lstatSync(path, { throwIfNoEntry: false });
      if (!stat?.isFile()) continue;
      unlinkSync(path);
      bytes += stat.size;
    }
  });
  deleteGoneBlobs(db, registry, registryBlobs);
  return bytes;
}

/** Forgets blobs that no image needs and whose files are gone, by whomever. */
export function deleteGoneBlobs(db: DatabaseSync, registry: RegistryRows, registryBlobs: string): void {
  withTransaction(db, 'NORMAL', () => {
    for (const digest of registry.unneeded()) {
      if (!lstatSync(join(registryBlobs, digest), { throwIfNoEntry: false })) registry.deleteBlob(digest);
    }
  });
}
