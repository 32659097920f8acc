import { lstatSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';

import type { Layout, MessageOf, RegistryAsked } from '../protocol.ts';
import type { ForeignBlobs } from './foreign-blobs.ts';
import type { DebouncedWriter } from './oci-index.ts';
import type { RegistryRows } from './registry-rows.ts';
import type { Rows } from './rows.ts';
import { withTransaction, withWriteLock } from './transaction.ts';

/**
 * Unlists an image, and only then removes its blob and its archive, so that every listed image has its blobs.
 *
 * @returns bytes freed, 0 when they were gone already; undefined when no such image is listed.
 */
export function removeImage(
  { db, layout, rows, registry, foreign }: Removing,
  { id, keepsFile }: MessageOf<'remove'>['request'],
): number | undefined {
  const listed = withTransaction(db, 'FULL', () =>
    rows.sizeOf(id) === undefined ? undefined : { archive: rows.deleteImage(id) },
  );
  if (!listed) return undefined;
  if (keepsFile) return 0;
  const bytes = discardBlob(db, rows, layout.blobs, id);
  const { archive } = listed;
  if (archive === undefined) return bytes;
  const discarding = { db, registry, foreign, registryBlobs: layout.registryBlobs, owner: null };
  const { removed, bytes: ofArchive } = discardRegistryBlobs(discarding, [archive]);
  deleteGoneRows(db, registry, layout.registryBlobs, () => removed);
  return bytes + ofArchive;
}

/**
 * Removes a blob unless it is listed. Works under the write lock, since another process may have committed the same
 * image.
 *
 * @returns bytes freed.
 */
export function discardBlob(db: DatabaseSync, rows: Rows, blobs: string, id: string): number {
  return withWriteLock(db, () => {
    if (rows.sizeOf(id) !== undefined) return 0;
    const path = join(blobs, id);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (!stat?.isFile()) return 0;
    unlinkSync(path);
    return stat.size;
  });
}

type Removing = {
  readonly db: DatabaseSync;
  readonly layout: Layout;
  readonly rows: Rows;
  readonly registry: RegistryRows;
  /** What index.json lists for other tools. */
  readonly foreign: ForeignBlobs;
  readonly indexWriter: DebouncedWriter;
};

/**
 * Unlists registry images, removes them from index.json, and only then removes the blobs that nothing else needs.
 *
 * @returns bytes freed; undefined when no such image is listed.
 */
export function removeRegistryImage(
  { db, layout, registry, foreign, indexWriter }: Removing,
  asked: RegistryAsked,
): number | undefined {
  const blobs = withTransaction(db, 'FULL', () => {
    db.exec('DELETE FROM answers'); // whoever fetches it again wants what its tag stands for now
    return registry.deleteImages(asked);
  });
  if (!blobs) return undefined;
  indexWriter.mark();
  indexWriter.tryFlush();
  const discarding = { db, registry, foreign, registryBlobs: layout.registryBlobs, owner: null };
  const { bytes } = discardRegistryBlobs(discarding, blobs);
  deleteGoneBlobs(db, registry, layout.registryBlobs);
  return bytes;
}

/** Removes blobs that this process has imported, unless something needs them. */
export function discardImported(
  { db, layout, registry, foreign }: Removing,
  owner: string,
  digests: readonly string[],
): void {
  const discarding = { db, registry, foreign, registryBlobs: layout.registryBlobs, owner };
  const { removed } = discardRegistryBlobs(discarding, digests);
  if (removed.length > 0) deleteGoneRows(db, registry, layout.registryBlobs, () => removed);
}

/**
 * Removes a damaged blob and unlists the images that need it. Their other blobs stay until gc, so that the images can
 * be fetched again without them. An image whose archive it is stays listed, without its archive.
 *
 * @returns the references of the images.
 */
export function dropBlob(
  { db, layout, rows, registry, indexWriter }: Removing,
  { digest, keepsFile }: MessageOf<'dropBlob'>['request'],
): readonly string[] {
  const references = withTransaction(db, 'FULL', () => {
    const users = registry.referencesTo(digest);
    for (const reference of users) registry.deleteImages({ reference });
    rows.deleteArchive(digest);
    registry.deleteBlob(digest);
    return users;
  });
  if (references.length > 0) indexWriter.mark();
  indexWriter.tryFlush();
  withWriteLock(db, () => {
    const path = join(layout.registryBlobs, digest);
    const isFile = lstatSync(path, { throwIfNoEntry: false })?.isFile() === true;
    if (isFile && !keepsFile && !registry.blob(digest)) unlinkSync(path); // unless a process has just imported it again
  });
  return references;
}

type Discarding = {
  readonly db: DatabaseSync;
  readonly registry: RegistryRows;
  readonly foreign: ForeignBlobs;
  readonly registryBlobs: string;
  /** Blobs of other owners stay; null stands for those that were part of an image. */
  readonly owner: string | null;
};

/**
 * Removes the blobs that nothing needs any more, but not their rows.
 *
 * @returns the blobs, and bytes freed.
 */
function discardRegistryBlobs(
  { db, registry, foreign, registryBlobs, owner }: Discarding,
  digests: readonly string[],
): { readonly removed: readonly string[]; readonly bytes: number } {
  const isGarbage = (digest: string): boolean =>
    !registry.isNeeded(digest) && registry.blob(digest)?.owner === owner && !foreign.has(`sha256:${digest}`);
  const removed: string[] = [];
  let bytes = 0;
  withWriteLock(db, () => {
    for (const digest of digests.filter(isGarbage)) {
      const path = join(registryBlobs, digest);
      const stat = lstatSync(path, { throwIfNoEntry: false });
      if (!stat?.isFile()) continue;
      unlinkSync(path);
      removed.push(digest);
      bytes += stat.size;
    }
  });
  return { removed, bytes };
}

/** Deletes the rows of blobs that no image needs and whose files no longer exist. */
export function deleteGoneBlobs(db: DatabaseSync, registry: RegistryRows, registryBlobs: string): void {
  deleteGoneRows(db, registry, registryBlobs, () => registry.unneeded());
}

function deleteGoneRows(
  db: DatabaseSync,
  registry: RegistryRows,
  registryBlobs: string,
  digests: () => readonly string[],
): void {
  withTransaction(db, 'NORMAL', () => {
    for (const digest of digests()) {
      if (!lstatSync(join(registryBlobs, digest), { throwIfNoEntry: false })) registry.deleteBlob(digest);
    }
  });
}
