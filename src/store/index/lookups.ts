import { lstatSync } from 'node:fs';
import { join } from 'node:path';

import { hasCode, ImageError } from '../../errors.ts';
import { checkExpected, type Expected } from '../../image/expected.ts';
import { isImageId, parseImageIdPrefix, shortImageId } from '../../image/image-id.ts';
import { type Labels, matchLabels } from '../../image/labels.ts';
import type { Proof } from '../../image/proof.ts';
import { blobPathIn, fileColumns, hasStamp } from '../blobs.ts';
import type { Store, StoredImage } from '../store.ts';
import { damagedIndex } from '../store-error.ts';
import type { Layout } from './protocol.ts';
import type { Reader, Row } from './reader.ts';
import {
  byImport,
  digestDigits,
  hashKey,
  idDigits,
  imageColumns,
  imageIdOf,
  importPage,
  numberOf,
  parseImageRow,
  parseProofRow,
  parseRemoteRow,
  parsingRows,
  textOf,
} from './rows.ts';

type Lookups = Pick<
  Store,
  | 'resolveId'
  | 'getImage'
  | 'proofsOf'
  | 'archiveOf'
  | 'findImage'
  | 'findIntactAtOnce'
  | 'imagesNamed'
  | 'images'
  | 'manifest'
  | 'checkIndex'
  | 'getRemote'
  | 'getAnswer'
  | 'salt'
>;

/** At most this many image IDs are listed for an ambiguous prefix. */
const shownCandidates = 8;

export function createLookups(reader: Reader, { index: path, blobs, registryBlobs }: Layout): Lookups {
  const select = `SELECT seq, ${imageColumns}, ${fileColumns} FROM images`;
  const byId = reader.prepare(`${select} WHERE id = ?`);
  const byPrefix = reader.prepare('SELECT id FROM images WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?');
  const byVersion = reader.prepare(`${select} WHERE name = ? AND version = ? ORDER BY imported_at DESC, seq`);
  const byName = reader.prepare(`${select} WHERE name = ? ORDER BY latest DESC, imported_at DESC, seq`);
  const page = reader.prepare(`${select} ${importPage()}`);
  const isAlone = 'NOT EXISTS (SELECT 1 FROM registry_images WHERE registry_images.image = images.id)';
  const pageOfAlone = reader.prepare(`${select} ${importPage(isAlone)}`);
  const manifestOf = reader.prepare('SELECT manifest FROM images WHERE id = ?');
  const remoteOf = reader.prepare('SELECT * FROM remotes WHERE key = ?');
  const proofsOf = reader.prepare('SELECT * FROM proofs WHERE image = ? ORDER BY kind, signers, covers');
  const answerOf = reader.prepare('SELECT value, answered_at FROM answers WHERE key = ?');

  const toImage = parsingRows(path, parseImageRow);
  const findProofs = async (key: string): Promise<readonly Proof[]> =>
    (await proofsOf.all(key)).map(parsingRows(path, parseProofRow)).filter((proof) => proof !== undefined);

  return {
    async resolveId(text) {
      const prefix = parseImageIdPrefix(text);
      const digits = idDigits(prefix);
      const rows = await byPrefix.all(digits, digits.padEnd(128, 'f'), shownCandidates);
      const candidates = rows.map(parsingRows(path, (row) => imageIdOf(row, 'id')));
      const [imageId] = candidates;
      if (imageId === undefined)
        throw new ImageError('NOT_IN_STORE', 'no image ID in the store starts with these digits', { asked: prefix });
      if (candidates.length === 1) return imageId;
      const message = `several image IDs start with these digits: ${candidates.map(shortImageId).join(', ')}`;
      throw new ImageError('ID_AMBIGUOUS', message, { asked: prefix, candidates });
    },
    async getImage(imageId) {
      const row = await byId.get(idDigits(imageId));
      return row && toImage(row);
    },
    proofsOf: (image) => findProofs(isImageId(image) ? idDigits(image) : image),
    async archiveOf(imageId) {
      const row = await byId.get(idDigits(imageId));
      const { archive, source } = row ? toImage(row) : {};
      if (!archive || source === undefined) return undefined;
      const { digest } = archive;
      const proofs = await findProofs(idDigits(imageId));
      const signatures = proofs.filter((proof) => proof.kind === 'openpgp').filter(({ covers }) => covers === digest);
      return { ...archive, path: join(registryBlobs, digestDigits(digest)), source, signatures };
    },
    findImage(name, labels, defaults) {
      const version = labels.get('version');
      const pick = (row: Row): StoredImage | undefined => matchRow(row, labels, defaults);
      return version === undefined ? byName.find(pick, name) : byVersion.find(pick, name, version);
    },
    findIntactAtOnce(name, labels, defaults) {
      const version = labels.get('version');
      let found: Row | undefined;
      const pick = (row: Row): StoredImage | undefined => matchRow((found = row), labels, defaults);
      const image = version === undefined ? byName.findAtOnce(pick, name) : byVersion.findAtOnce(pick, name, version);
      return image && found && isIntact(blobPathIn(blobs, image.imageId), found) ? image : undefined;
    },
    async imagesNamed(name) {
      return (await byName.all(name)).map(toImage);
    },
    async *images({ alone = false } = {}) {
      for await (const row of byImport(alone ? pageOfAlone : page)) yield toImage(row);
    },
    async manifest(imageId) {
      const row = await manifestOf.get(idDigits(imageId));
      if (!row)
        throw new ImageError('NOT_IN_STORE', `${shortImageId(imageId)} is not in the store`, { asked: imageId });
      return parsingRows(path, (manifestRow) => textOf(manifestRow, 'manifest'))(row);
    },
    async checkIndex() {
      const found = (await reader.prepare('PRAGMA integrity_check(1)').get())?.['integrity_check'] ?? 'ok';
      if (found !== 'ok') throw damagedIndex(path, new Error(String(found)));
      const requireRows = (sql: string, parse: (row: Row) => unknown): Promise<undefined> =>
        reader.prepare(sql).find((row) => void parsingRows(path, parse)(row));
      await requireRows('SELECT * FROM proofs', parseProofRow);
      await requireRows('SELECT * FROM remotes', parseRemoteRow);
      await requireRows(
        'SELECT (SELECT lineage FROM generation) lineage, (SELECT number FROM generation) number',
        (row) => [textOf(row, 'lineage'), numberOf(row, 'number')],
      );
    },
    async getRemote(url) {
      const row = await remoteOf.get(hashKey(url));
      return row && parsingRows(path, parseRemoteRow)(row);
    },
    async getAnswer(question) {
      const row = await answerOf.get(hashKey(question));
      const { value, answered_at: answeredAtMs } = row ?? {};
      return typeof value === 'string' && typeof answeredAtMs === 'number' ? { value, answeredAtMs } : undefined;
    },
    salt: async () => String((await reader.prepare('SELECT lineage FROM generation').get())?.['lineage'] ?? ''),
  };
}

/** @param row - with `size` and `fileColumns`. */
function isIntact(path: string, row: Row): boolean {
  try {
    const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    return stat !== undefined && hasStamp(stat, row);
  } catch {
    return false;
  }
}

/**
 * The image, if it has all the requested labels and contradicts no default. A damaged row does not match: another row
 * may, or the image is fetched again.
 */
function matchRow(row: Row, requested: Labels, defaults: Labels = new Map()): StoredImage | undefined {
  try {
    const image = parseImageRow(row);
    const agrees = defaults.entries().every(([name, value]) => (image.labels.get(name) ?? value) === value);
    return agrees && matchLabels(requested, image.labels) ? image : undefined;
  } catch {
    return undefined;
  }
}

/** What is required of an image that is looked up by name, perhaps with a pinned ID. */
export type ByName = Expected & Required<Pick<Expected, 'name' | 'labels'>>;

/**
 * Finds the image in the store: by its pinned ID, in which case it must have the name and the labels, or the best one
 * of that name. Undefined when there is none.
 *
 * @throws NAME_MISMATCH, LABEL_MISMATCH, SIZE_MISMATCH for a pinned ID; ID_AMBIGUOUS
 * @see rkt v1.2.0 store/store.go, GetACI
 */
export async function findExpected(store: Store, expected: ByName): Promise<StoredImage | undefined> {
  const { name, labels, defaults, imageId, size } = expected;
  if (imageId === undefined) {
    const image = await store.findImage(name, labels, defaults);
    return image && (size === undefined || image.size === size) ? image : undefined;
  }
  const pinned = await findPinned(store, imageId);
  if (pinned) checkExpected(pinned, expected);
  return pinned;
}

async function findPinned(store: Store, imageId: string): Promise<StoredImage | undefined> {
  try {
    return await store.getImage(await store.resolveId(imageId));
  } catch (error) {
    if (hasCode(error, 'NOT_IN_STORE')) return undefined;
    throw error;
  }
}
