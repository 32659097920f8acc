import type { DatabaseSync } from 'node:sqlite';
import { lstatSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';

import type { MessageOf, Layout, RegistryAsked } from '../protocol.ts';
import type { Rows } from './rows.ts';
import { withTransaction, withWriteLock } from './transaction.ts';
import { createForeignBlobs, type ForeignBlobs } from './foreign-blobs.ts';
import type { OciIndexFile, DebouncedWriter } from './oci-index.ts';
import type { RegistryRows } from './registry-rows.ts';

/**
 * Takes an image off the list, and only then removes its blob: at no moment is something listed that is not there.
 *
 * @returns bytes given back, 0 when the blob was gone already; undefined when no such image is listed.
 */
export function removeImage(
  db: DatabaseSync,
  rows: Rows,
  blobs: string,
  { id, keepsFile }: MessageOf<'remove'>['request'],
): number | undefined {
  const listed = withTransaction(db, 'FULL', () => {
    if (rows.sizeOf(id) === undefined) return false;
    rows.deleteImage(id);
    return true;
  });
  if (!listed) return undefined;
  return keepsFile ? 0 : discardBlob(db, rows, blobs, id);
}

/**
 * Removes a blob unless a row names it: under the lock, since another process may have committed the same image.
 *
 * @returns bytes given back.
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

type RegistryRemoving = {
  readonly db: DatabaseSync;
  readonly layout: Layout;
  readonly registry: RegistryRows;
  readonly indexFile: OciIndexFile;
  readonly indexWriter: DebouncedWriter;
};

/**
 * Takes registry images off the list and out of index.json, and only then removes the blobs that nobody else needs.
 *
 * @returns bytes given back; undefined when no such image is listed.
 */
export function removeRegistryImage(
  { db, layout, registry, indexFile, indexWriter }: RegistryRemoving,
  asked: RegistryAsked,
): number | undefined {
  const blobs = withTransaction(db, 'FULL', () => registry.deleteImages(asked));
  if (!blobs) return undefined;
  indexWriter.mark();
  indexWriter.tryFlush();
  const foreign = createForeignBlobs(indexFile, layout);
  return discardRegistryBlobs({ db, registry, foreign, registryBlobs: layout.registryBlobs }, blobs);
}

/**
 * Removes a blob that was found damaged, and takes the images that need it off the list: what else they are made of stays
 * until gc, so that they can be brought again.
 *
 * @returns their references.
 */
export function dropBlob(
  { db, layout, registry, indexWriter }: RegistryRemoving,
  { digest, keepsFile }: MessageOf<'dropBlob'>['request'],
): readonly string[] {
  const references = withTransaction(db, 'FULL', () => {
    const users = registry.referencesTo(digest);
    for (const reference of users) registry.deleteImages({ reference });
    registry.deleteBlob(digest);
    return users;
  });
  if (references.length > 0) indexWriter.mark();
  indexWriter.tryFlush();
  withWriteLock(db, () => {
    const path = join(layout.registryBlobs, digest);
    const isFile = lstatSync(path, { throwIfNoEntry: false })?.isFile() === true;
    if (isFile && !keepsFile && !registry.blob(digest)) unlinkSync(path); // or somebody has just brought it
  });
  return references;
}

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
function discardRegistryBlobs(
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
