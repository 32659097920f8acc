import type { DatabaseSync } from 'node:sqlite';

import type { FileStamp } from '../../../system/files.ts';
import type { RegistryAsked, RegistryRow } from '../protocol.ts';
import { shownName } from './format-oci-index.ts';
import { type KeptFacts, mergeRow, upsert } from './rows.ts';

/** What the index has recorded of a blob. Rows of older stores have no ctime: such a blob has to be hashed first. */
export type KnownBlob = { readonly [F in keyof FileStamp]: FileStamp[F] | null } & { readonly size: number };

/** Digests are 64 hex digits. */
type BlobRow = KnownBlob & { readonly owner: string | null };

/** Reads and writes the rows of registry images and their blobs; to write, the caller holds a transaction. */
export type RegistryRows = {
  /** @param owner - of this process: as long as it lives, the blob may become part of an image. */
  putBlob(digest: string, size: number, stamp: FileStamp, owner: string): void;
  setBlobStamp(digest: string, stamp: FileStamp): void;
  blob(digest: string): BlobRow | undefined;
  deleteBlob(digest: string): void;
  /** Whether a listed image needs the blob. */
  isNeeded(digest: string): boolean;
  /** Blobs that no listed image needs. */
  unneeded(): readonly string[];
  /** The owners of blobs that no image needs yet. */
  owners(): readonly string[];
  /** Replaces the image that had the same reference. */
  putImage(row: RegistryRow, blobs: readonly string[], nowMs: number): void;
  setUsed(reference: string, atMs: number): void;
  referencesTo(digest: string): readonly string[];
  /** @returns the blobs that the images needed; undefined when no such image is listed. */
  deleteImages(asked: RegistryAsked): readonly string[] | undefined;
};

type KeptRegistryFacts = KeptFacts & Pick<RegistryRow, 'manifest' | 'image' | 'referrers'>;

export function createRegistryRows(db: DatabaseSync): RegistryRows {
  const putBlob = db.prepare(`
    INSERT INTO blobs (digest, size, mtime_ns, ctime_ns, inode, owner)
    VALUES (:digest, :size, :mtimeNs, :ctimeNs, :inode, :owner)
    ON CONFLICT DO UPDATE SET
      size = excluded.size, mtime_ns = excluded.mtime_ns, ctime_ns = excluded.ctime_ns, inode = excluded.inode,
      owner = CASE WHEN EXISTS (SELECT 1 FROM needed_blobs WHERE digest = :digest) THEN NULL ELSE excluded.owner END`);
  const setStamp = db.prepare(
    'UPDATE blobs SET mtime_ns = :mtimeNs, ctime_ns = :ctimeNs, inode = :inode WHERE digest = :digest',
  );
  const blob = db.prepare('SELECT size, mtime_ns mtimeNs, ctime_ns ctimeNs, inode, owner FROM blobs WHERE digest = ?');
  blob.setReadBigInts(true); // nanoseconds since the epoch do not fit into a number
  const deleteBlob = db.prepare('DELETE FROM blobs WHERE digest = ?');
  const needed = db.prepare('SELECT 1 FROM needed_blobs WHERE digest = ?');
  const unneeded = db.prepare('SELECT digest FROM blobs WHERE digest NOT IN (SELECT digest FROM needed_blobs)');
  const owners = db.prepare('SELECT DISTINCT owner FROM blobs WHERE owner IS NOT NULL');
  const disown = db.prepare('UPDATE blobs SET owner = NULL WHERE digest = ?');

  const kept = db.prepare(
    'SELECT manifest, image, referrers, latest, source, verified, weak FROM registry_images WHERE reference = ?',
  );
  const listed = db.prepare('SELECT 1 FROM images WHERE id = ?');
  const putImage = db.prepare(`${upsert('registry_images', 'reference', imageValues)} RETURNING seq`);
  const clearNeeds = db.prepare('DELETE FROM registry_blobs WHERE image = ?');
  const putNeed = db.prepare('INSERT INTO registry_blobs (image, digest) VALUES (?, ?) ON CONFLICT DO NOTHING');
  const putDescriptor = db.prepare(`
    INSERT INTO descriptors (digest, name) SELECT coalesce(oci, manifest), ${shownName} FROM registry_images WHERE seq = ?
    ON CONFLICT DO NOTHING`);
  const advance = db.prepare('UPDATE generation SET number = number + 1');

  const setUsed = db.prepare('UPDATE registry_images SET last_used_at = max(last_used_at, ?) WHERE reference = ?');
  const users = db.prepare(`
    SELECT reference FROM registry_images WHERE seq IN (SELECT image FROM registry_blobs WHERE digest = ?)
    ORDER BY reference`);
  const byReference = db.prepare('SELECT seq FROM registry_images WHERE reference = ?');
  const byDigest = db.prepare('SELECT seq FROM registry_images WHERE manifest = ?1 OR list = ?1 OR oci = ?1');
  const needs = db.prepare('SELECT digest FROM registry_blobs WHERE image = ?');
  const deleteImage = db.prepare('DELETE FROM registry_images WHERE seq = ?');
  const deleteProofs = db.prepare(
    'DELETE FROM proofs WHERE image IN (SELECT reference FROM registry_images WHERE seq = ?)',
  );
  const deleteProofsOf = db.prepare('DELETE FROM proofs WHERE image = ?');

  /** Adds what the index knows of the image, if the reference still stands for the same manifest; else forgets its proofs. */
  const merge = (row: RegistryRow): RegistryRow => {
    // The statement names exactly these columns of a STRICT table.
    const old = kept.get(row.reference) as KeptRegistryFacts | undefined;
    if (old && old.manifest !== row.manifest) deleteProofsOf.run(row.reference); // they are about another image
    if (old?.manifest !== row.manifest) return row;
    return { ...mergeRow(old, row), image: row.image ?? old.image, referrers: row.referrers ?? old.referrers };
  };

  return {
    putBlob: (digest, size, stamp, owner) => void putBlob.run({ digest, size, ...stamp, owner }),
    setBlobStamp: (digest, stamp) => void setStamp.run({ digest, ...stamp }),
    blob: (digest) => {
      const row = blob.get(digest);
      return row && ({ ...row, size: Number(row['size']) } as BlobRow); // the columns of a STRICT table
    },
    deleteBlob: (digest) => void deleteBlob.run(digest),
    isNeeded: (digest) => needed.get(digest) !== undefined,
    unneeded: () => unneeded.all().map(({ digest }) => String(digest)),
    owners: () => owners.all().map(({ owner }) => String(owner)),
    putImage(row, blobs, nowMs) {
      advance.run();
      const merged = merge(row);
      // the image may have been removed
      const image = merged.image !== null && listed.get(merged.image) ? merged.image : null;
      const seq = Number(putImage.get({ ...merged, image, nowMs })?.['seq']);
      if (merged.referrers === row.referrers) clearNeeds.run(seq); // else it still needs the blobs of what is attached to it
      for (const digest of new Set(blobs)) {
        putNeed.run(seq, digest);
        disown.run(digest);
      }
      putDescriptor.run(seq);
    },
    setUsed: (reference, atMs) => void setUsed.run(atMs, reference),
    referencesTo: (digest) => users.all(digest).map(({ reference }) => String(reference)),
    deleteImages(asked) {
      const found = 'reference' in asked ? byReference.all(asked.reference) : byDigest.all(asked.digest);
      if (found.length === 0) return undefined;
      advance.run();
      const blobs = new Set<string>();
      for (const seq of found.map((row) => Number(row['seq']))) {
        for (const { digest } of needs.all(seq)) blobs.add(String(digest));
        clearNeeds.run(seq);
        deleteProofs.run(seq);
        deleteImage.run(seq);
      }
      return [...blobs];
    },
  };
}

/** The columns of a registry image, each with its value. */
const imageValues = {
  reference: ':reference',
  manifest: ':manifest',
  manifest_type: ':manifestType',
  manifest_size: ':manifestSize',
  list: ':list',
  list_type: ':listType',
  list_size: ':listSize',
  oci: ':oci',
  oci_type: ':ociType',
  oci_size: ':ociSize',
  os: ':os',
  architecture: ':architecture',
  variant: ':variant',
  platforms: ':platforms',
  referrers: ':referrers',
  image: ':image',
  imported_at: ':nowMs',
  last_used_at: ':nowMs',
  latest: ':latest',
  source: ':source',
  verified: ':verified',
  weak: ':weak',
  generation: '(SELECT number FROM generation)',
};
