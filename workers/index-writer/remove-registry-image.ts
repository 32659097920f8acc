import { lstatSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';

import { discardRegistryBlobs } from './discard-registry-blobs.ts';
import { createForeignBlobs } from './foreign-blobs.ts';
import type { OciFace } from './oci-face.ts';
import type { Projector } from './projector.ts';
import type { Layout, MessageOf, RegistryAsked } from './protocol.ts';
import type { RegistryRows } from './registry-rows.ts';
import { withTransaction, withWriteLock } from './transaction.ts';

export type RegistryRemoving = {
  readonly db: DatabaseSync;
  readonly layout: Layout;
  readonly registry: RegistryRows;
  readonly face: OciFace;
  readonly projector: Projector;
};

/**
 * Takes registry images off the list and out of index.json, and only then removes the blobs that nobody else needs.
 *
 * @returns bytes given back; undefined when no such image is listed.
 */
export function removeRegistryImage(
  { db, layout, registry, face, projector }: RegistryRemoving,
  asked: RegistryAsked,
): number | undefined {
  const blobs = withTransaction(db, 'FULL', () => registry.deleteImages(asked));
  if (!blobs) return undefined;
  projector.mark();
  projector.tryFlush();
  const foreign = createForeignBlobs(face, layout);
  return discardRegistryBlobs({ db, registry, foreign, registryBlobs: layout.registryBlobs }, blobs);
}

/**
 * Removes a blob that was found damaged, and takes the images that need it off the list: what else they are made of stays
 * until gc, so that they can be brought again.
 *
 * @returns their references.
 */
export function dropBlob(
  { db, layout, registry, projector }: RegistryRemoving,
  { digest, keepsFile }: MessageOf<'dropBlob'>['request'],
): readonly string[] {
  const references = withTransaction(db, 'FULL', () => {
    const users = registry.referencesTo(digest);
    for (const reference of users) registry.deleteImages({ reference });
    registry.deleteBlob(digest);
    return users;
  });
  if (references.length > 0) projector.mark();
  projector.tryFlush();
  withWriteLock(db, () => {
    const path = join(layout.registryBlobs, digest);
    const isFile = lstatSync(path, { throwIfNoEntry: false })?.isFile() === true;
    if (isFile && !keepsFile && !registry.blob(digest)) unlinkSync(path); // or somebody has just brought it
  });
  return references;
}
