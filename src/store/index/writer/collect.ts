import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';

import { imageBlobName, registryBlobName } from '../../../image/digest.ts';
import type { GarbageReport } from '../../store.ts';
import type { CollectRequest, Layout } from '../protocol.ts';
import { clearDirectory, type Cleared, collectFiles } from './clear-directory.ts';
import { createForeignBlobs, type ForeignBlobs } from './foreign-blobs.ts';
import type { OciIndexFile } from './oci-index.ts';
import type { Owners } from './owners.ts';
import type { RegistryRows } from './registry-rows.ts';
import { deleteGoneBlobs } from './remove.ts';
import type { Rows } from './rows.ts';
import { inChunks, withTransaction, withWriteLock } from './transaction.ts';

const partialName = /^[0-9a-f]{64}$/;

type Collector = {
  readonly db: DatabaseSync;
  readonly layout: Layout;
  readonly rows: Rows;
  readonly registry: RegistryRows;
  readonly indexFile: OciIndexFile;
  readonly owners: Owners;
};

/** Removes everything that is unreferenced, or only counts it (`dryRun`). Other requests are answered in between. */
export async function collect(collector: Collector, request: CollectRequest): Promise<GarbageReport> {
  const { db, layout, owners, rows, indexFile } = collector;
  const temporaries = owners.sweep(request);
  const partials = await collectPartials(collector, request);
  const foreign = createForeignBlobs(indexFile, layout);
  const isGarbage = (id: string): boolean => rows.sizeOf(id) === undefined && !foreign.has(`sha512:${id}`);
  const blobs = await collectFiles(db, { directory: layout.blobs, name: imageBlobName, isGarbage }, request.dryRun);
  const registryBlobs = await collectRegistryBlobs(collector, foreign, request);
  if (!request.dryRun) withTransaction(db, 'NORMAL', () => rows.deleteDanglingRemotes());
  return {
    blobs: blobs.files + registryBlobs.files,
    partials: partials.files,
    temporaries: temporaries.files,
    bytes: blobs.bytes + registryBlobs.bytes + partials.bytes + temporaries.bytes,
    left: [...temporaries.left, ...partials.left],
  };
}

/** Works under the write lock, where no process can claim a URL and resume the download that is being removed. */
async function collectPartials(
  { db, layout }: Collector,
  { nowMs, partialsOlderThanMs, dryRun }: CollectRequest,
): Promise<Cleared> {
  const total = { files: 0, bytes: 0, left: [] as string[] };
  const claimed = db.prepare('SELECT 1 FROM claims WHERE key = ?');
  for await (const names of inChunks(layout.downloads)) {
    for (const name of names) {
      const path = join(layout.downloads, name);
      if (!partialName.test(name) || !(nowMs - changedAt(path) > partialsOlderThanMs)) continue;
      withWriteLock(db, () => {
        if (claimed.get(name)) return;
        const { bytes, left } = clearDirectory(path, dryRun);
        total.files += left.length === 0 ? 1 : 0;
        total.bytes += bytes;
        total.left.push(...left);
      });
    }
  }
  return total;
}

/** The latest modification time in the directory, or of the file in its place. */
function changedAt(path: string): number {
  const times = [path, ...namesIn(path).map((name) => join(path, name))].map(
    (file) => lstatSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0,
  );
  return Math.max(...times);
}

function namesIn(path: string): readonly string[] {
  try {
    return lstatSync(path).isDirectory() ? readdirSync(path) : [];
  } catch {
    return []; // it is gone, or belongs to another user and is not readable
  }
}

/**
 * Removes blobs that no registry image needs and no other tool has listed. A blob that a living process has imported
 * stays: it may become part of an image. So does a blob without a row, as long as a partial download would: another
 * tool may still be writing it.
 */
async function collectRegistryBlobs(
  { db, layout, registry, owners, indexFile }: Collector,
  foreign: ForeignBlobs,
  { nowMs, partialsOlderThanMs, dryRun }: CollectRequest,
): Promise<Cleared> {
  if (!dryRun) writeIfStale(indexFile);
  const dead = new Set(registry.owners().filter((owner) => !owners.isAlive(owner)));
  const isSettled = (digest: string): boolean => {
    const row = registry.blob(digest);
    if (row) return row.owner === null || dead.has(row.owner);
    return nowMs - changedAtMs(join(layout.registryBlobs, digest)) > partialsOlderThanMs;
  };
  const isGarbage = (digest: string): boolean =>
    !registry.isNeeded(digest) && isSettled(digest) && !foreign.has(`sha256:${digest}`);

  const files = { directory: layout.registryBlobs, name: registryBlobName, isGarbage };
  const cleared = await collectFiles(db, files, dryRun);
  if (!dryRun) deleteGoneBlobs(db, registry, layout.registryBlobs);
  return cleared;
}

/** index.json should not name blobs that are about to be removed. */
function writeIfStale(indexFile: OciIndexFile): void {
  try {
    if (indexFile.isStale()) indexFile.write();
  } catch {
    // A full disk must not stop the removal, which frees space. If the file is damaged, no blob is removed anyway.
  }
}

function changedAtMs(path: string): number {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat ? Math.max(stat.mtimeMs, stat.ctimeMs) : Infinity;
}
