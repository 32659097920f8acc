import { existsSync, lstatSync } from 'node:fs';
import { join } from 'node:path';

import { ImageError } from '../../errors.ts';
import { type Digest, registryBlobName } from '../../image/digest.ts';
import { isImageId } from '../../image/image-id.ts';
import { namesIn, stampFile } from '../../system/files.ts';
import { hasStamp, stampColumns } from '../blobs.ts';
import type { BlobState, RegistryStore, StoredBlob } from '../registry-store.ts';
import { inStore } from '../store-error.ts';
import { readOciIndex, salvageEntries } from './oci-index.ts';
import type { Layout } from './protocol.ts';
import type { Reader } from './reader.ts';
import { parseDigestPrefix, parseRegistryRow, registryColumns } from './registry-rows.ts';
import {
  byImport,
  digestDigits,
  flagOf,
  idDigits,
  importPage,
  numberOf,
  parsingRows,
  textOf,
  toDigest,
} from './rows.ts';

type RegistryLookups = Pick<
  RegistryStore,
  | 'digestPath'
  | 'hasBlob'
  | 'digestState'
  | 'blobRows'
  | 'findRegistryImage'
  | 'registryImages'
  | 'resolveDigest'
  | 'registryImagesOf'
  | 'ociIndex'
  | 'salvagedEntries'
  | 'unlistedBlobs'
>;

/** Rows read at a time when all rows are listed. */
const pageRows = 256;
/** At most this many digests are listed for an ambiguous prefix. */
const shownCandidates = 8;

export function createRegistryLookups(
  reader: Reader,
  { index, registryBlobs, ociIndex, tmp }: Layout,
): RegistryLookups {
  const select = `SELECT seq, ${registryColumns} FROM registry_images`;
  const byReference = reader.prepare(`${select} WHERE reference = ?`);
  const byDigest = reader.prepare(`${select} WHERE manifest = ?1 OR list = ?1 OR oci = ?1 ORDER BY imported_at, seq`);
  const byImage = reader.prepare(`${select} WHERE image = ? ORDER BY imported_at, seq`);
  const page = reader.prepare(`${select} ${importPage()}`);
  const byPrefix = reader.prepare(`
    SELECT manifest digest FROM registry_images WHERE manifest BETWEEN ?1 AND ?2
    UNION SELECT list FROM registry_images WHERE list BETWEEN ?1 AND ?2
    UNION SELECT oci FROM registry_images WHERE oci BETWEEN ?1 AND ?2
    ORDER BY digest LIMIT ?3`);
  const stampOf = reader.prepare(`SELECT ${stampColumns} FROM blobs WHERE digest = ?`);
  const blobPage = reader.prepare(`
    SELECT digest, size, EXISTS (SELECT 1 FROM registry_blobs WHERE registry_blobs.digest = blobs.digest) needed,
      EXISTS (SELECT 1 FROM images WHERE archive = blobs.digest) archived
    FROM blobs WHERE digest > ? ORDER BY digest LIMIT ${pageRows}`);
  const recordedBlob = reader.prepare(`
    SELECT 1 FROM needed_blobs WHERE digest = ?1
    UNION ALL SELECT 1 FROM blobs WHERE digest = ?1 AND owner IS NULL`);
  const ownerOf = reader.prepare('SELECT owner FROM blobs WHERE digest = ?');
  /** A living process has its directory in `tmp`; opening the store for writing removes those of dead ones. */
  const isAlive = (owner: unknown): boolean => typeof owner === 'string' && existsSync(join(tmp, owner));
  const toImage = parsingRows(index, parseRegistryRow);
  const digestPath = (digest: Digest): string => join(registryBlobs, digestDigits(digest));
  const digestState = (digest: Digest, size?: number): Promise<BlobState> => {
    const path = digestPath(digest);
    return inStore(path, async () => {
      const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
      const row = await stampOf.get(digestDigits(digest));
      if (!stat?.isFile() || !row || (size !== undefined && stat.size !== BigInt(size))) return 'missing';
      return hasStamp(stat, row) ? 'intact' : 'changed';
    });
  };

  return {
    digestPath,
    digestState,
    hasBlob: async (digest, size) => (await digestState(digest, size)) === 'intact',
    async *blobRows() {
      const parse = parsingRows(index, (row) => ({
        digest: toDigest(textOf(row, 'digest')),
        size: numberOf(row, 'size'),
        needed: flagOf(row, 'needed') || flagOf(row, 'archived'),
        isArchive: flagOf(row, 'archived') && !flagOf(row, 'needed'),
      }));
      let last: string | undefined = '';
      while (last !== undefined) {
        const blobs: readonly ReturnType<typeof parse>[] = (await blobPage.all(last)).map(parse);
        yield* blobs;
        const end: StoredBlob | undefined = blobs.length < pageRows ? undefined : blobs.at(-1);
        last = end && digestDigits(end.digest);
      }
    },
    async *unlistedBlobs() {
      for await (const name of namesIn(registryBlobs)) {
        if (!registryBlobName.test(name) || (await recordedBlob.get(name))) continue;
        if (isAlive((await ownerOf.get(name))?.['owner'])) continue;
        const digest = toDigest(name);
        const found = stampFile(digestPath(digest));
        if (found) yield { digest, size: found.size };
      }
    },
    async findRegistryImage(reference) {
      const row = await byReference.get(reference);
      return row && toImage(row);
    },
    async *registryImages() {
      for await (const row of byImport(page)) yield toImage(row);
    },
    async resolveDigest(text) {
      const prefix = parseDigestPrefix(text);
      const digits = digestDigits(prefix);
      const rows = await byPrefix.all(digits, digits.padEnd(64, 'f'), shownCandidates);
      const candidates = rows.map(parsingRows(index, (row) => toDigest(textOf(row, 'digest'))));
      const [digest] = candidates;
      if (digest === undefined)
        throw new ImageError('NOT_IN_STORE', 'no digest in the store starts with these digits', { asked: prefix });
      if (candidates.length === 1) return digest;
      const message = `several digests start with these digits: ${candidates.join(', ')}`;
      throw new ImageError('ID_AMBIGUOUS', message, { asked: prefix, candidates });
    },
    ociIndex: async () => (await readOciIndex(ociIndex))?.manifests ?? [],
    salvagedEntries: () => inStore(ociIndex, () => salvageEntries(ociIndex)),
    registryImagesOf: async (id) => {
      const rows = await (isImageId(id) ? byImage.all(idDigits(id)) : byDigest.all(digestDigits(id)));
      return rows.map(toImage);
    },
  };
}
