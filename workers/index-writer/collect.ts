import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';

import { imageBlobName } from '../../src/image/blob-name.ts';
import { clearDirectory, type Cleared } from './clear-directory.ts';
import { collectFiles } from './collect-files.ts';
import { collectRegistryBlobs } from './collect-registry-blobs.ts';
import { createForeignBlobs } from './foreign-blobs.ts';
import { inChunks } from './in-chunks.ts';
import type { OciFace } from './oci-face.ts';
import type { Owners } from './owners.ts';
import type { CollectRequest, GarbageCounts, Layout } from './protocol.ts';
import type { RegistryRows } from './registry-rows.ts';
import type { Rows } from './rows.ts';
import { withTransaction, withWriteLock } from './transaction.ts';

const partialName = /^[0-9a-f]{64}$/;

export type Collector = {
  readonly db: DatabaseSync;
  readonly layout: Layout;
  readonly rows: Rows;
  readonly registry: RegistryRows;
  readonly face: OciFace;
  readonly owners: Owners;
};

/** Removes what nothing refers to, or only counts it. Other requests are answered in between. */
export async function collect(collector: Collector, request: CollectRequest): Promise<GarbageCounts> {
  const { db, layout, owners, rows, face } = collector;
  const temporaries = owners.sweep(request);
  const partials = await collectPartials(collector, request);
  const foreign = createForeignBlobs(face, layout);
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

/** Under the lock nobody can claim a URL and begin to resume what is being removed. */
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

/** When anything in the directory last changed, or what is in its place. */
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
    return []; // gone, or of another user, who lets nobody in
  }
}
