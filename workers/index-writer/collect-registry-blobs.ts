import { lstatSync } from 'node:fs';
import { join } from 'node:path';

import { registryBlobName } from '../../src/image/blob-name.ts';
import type { Cleared } from './clear-directory.ts';
import { collectFiles } from './collect-files.ts';
import type { Collector } from './collect.ts';
import { deleteGoneBlobs } from './discard-registry-blobs.ts';
import type { ForeignBlobs } from './foreign-blobs.ts';
import type { OciFace } from './oci-face.ts';
import type { CollectRequest } from './protocol.ts';

/**
 * Removes blobs that no registry image needs, nor what other tools keep here. One that a living process has brought in
 * may be about to become part of an image; one that no row tells of may be what another tool is just writing, so it
 * stays for as long as a partial download does.
 */
export async function collectRegistryBlobs(
  { db, layout, registry, owners, face }: Collector,
  foreign: ForeignBlobs,
  { nowMs, partialsOlderThanMs, dryRun }: CollectRequest,
): Promise<Cleared> {
  if (!dryRun) writeIfStale(face);
  const dead = new Set(registry.owners().filter((owner) => !owners.isAlive(owner)));
  const isSettled = (digest: string): boolean => {
    const row = registry.blob(digest);
    if (row) return row.owner === null || dead.has(row.owner);
    return nowMs - changedAt(join(layout.registryBlobs, digest)) > partialsOlderThanMs;
  };
  const isGarbage = (digest: string): boolean =>
    !registry.isNeeded(digest) && isSettled(digest) && !foreign.has(`sha256:${digest}`);

  const files = { directory: layout.registryBlobs, name: registryBlobName, isGarbage };
  const cleared = await collectFiles(db, files, dryRun);
  if (!dryRun) deleteGoneBlobs(db, registry, layout.registryBlobs);
  return cleared;
}

/** What is about to go must not be named there any more, if that can be helped. */
function writeIfStale(face: OciFace): void {
  try {
    if (face.isStale()) face.write();
  } catch {
    // A full disk must not keep space from being given back; when the file is damaged nothing is removed anyway.
  }
}

function changedAt(path: string): number {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat ? Math.max(stat.mtimeMs, stat.ctimeMs) : Infinity;
}
