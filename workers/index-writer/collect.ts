import { lstatSync, opendirSync, readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { setImmediate } from 'node:timers/promises';

import { clearDirectory, type Cleared } from './clear-directory.ts';
import type { Owners } from './owners.ts';
import type { CollectRequest, GarbageCounts, Layout } from './protocol.ts';
import type { Rows } from './rows.ts';
import { withTransaction, withWriteLock } from './transaction.ts';

const blobName = /^[0-9a-f]{128}$/;
const partialName = /^[0-9a-f]{64}$/;
/** Blobs looked at before other requests get their turn. */
const chunk = 256;

type Collector = { readonly db: DatabaseSync; readonly layout: Layout; readonly rows: Rows; readonly owners: Owners };

/** Removes what nothing refers to, or only counts it. Other requests are answered in between. */
export async function collect(collector: Collector, request: CollectRequest): Promise<GarbageCounts> {
  const { db, owners, rows } = collector;
  const temporaries = owners.sweep(request);
  const partials = await collectPartials(collector, request);
  const blobs = await collectBlobs(collector, request.dryRun);
  if (!request.dryRun) withTransaction(db, 'NORMAL', () => rows.deleteDanglingRemotes());
  return {
    blobs: blobs.files,
    partials: partials.files,
    temporaries: temporaries.files,
    bytes: blobs.bytes + partials.bytes + temporaries.bytes,
  };
}

/** A blob is looked up again under the lock, where no commit can be half done. */
async function collectBlobs({ db, layout, rows }: Collector, dryRun: boolean): Promise<Cleared> {
  const total = { files: 0, bytes: 0 };
  const isUnreferenced = (id: string): boolean => rows.sizeOf(id) === undefined;
  for await (const names of inChunks(layout.blobs)) {
    const candidates = names.filter((name) => blobName.test(name) && isUnreferenced(name));
    if (candidates.length === 0) continue;
    withWriteLock(db, () => {
      for (const name of candidates.filter(isUnreferenced)) {
        const path = join(layout.blobs, name);
        const stat = lstatSync(path, { throwIfNoEntry: false });
        if (!stat?.isFile()) continue;
        if (!dryRun) unlinkSync(path);
        total.files += 1;
        total.bytes += stat.size;
      }
    });
  }
  return total;
}

/** Under the lock nobody can claim a URL and begin to resume what is being removed. */
async function collectPartials(
  { db, layout }: Collector,
  { nowMs, partialsOlderThanMs, dryRun }: CollectRequest,
): Promise<Cleared> {
  const total = { files: 0, bytes: 0 };
  const claimed = db.prepare('SELECT 1 FROM claims WHERE key = ?');
  for await (const names of inChunks(layout.downloads)) {
    for (const name of names) {
      const path = join(layout.downloads, name);
      if (!partialName.test(name) || !(nowMs - changedAt(path) > partialsOlderThanMs)) continue;
      withWriteLock(db, () => {
        if (claimed.get(name)) return;
        total.files += 1;
        total.bytes += clearDirectory(path, dryRun).bytes;
      });
    }
  }
  return total;
}

/** When anything in the directory last changed. */
function changedAt(path: string): number {
  const files = readdirSync(path).map((name) => join(path, name));
  const times = [path, ...files].map((file) => lstatSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0);
  return Math.max(...times);
}

async function* inChunks(path: string): AsyncGenerator<readonly string[]> {
  let names: string[] = [];
  using directory = opendirSync(path);
  for (let entry = directory.readSync(); entry; entry = directory.readSync()) {
    names.push(entry.name);
    if (names.length < chunk) continue;
    yield names;
    names = [];
    await setImmediate();
  }
  yield names;
}
