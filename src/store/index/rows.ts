import { hash } from 'node:crypto';

import { type Digest, isDigest } from '../../image/digest.ts';
import { type ImageId, isImageId } from '../../image/image-id.ts';
import type { Labels } from '../../image/labels.ts';
import type { Dependency } from '../../image/manifest.ts';
import type { Proof } from '../../image/proof.ts';
import type { KeptArchive } from '../registry-store.ts';
import type { Commit, Remote, StoredImage } from '../store.ts';
import { damagedIndex } from '../store-error.ts';
import type { ImageRow, ProofRow, RemoteRow } from './protocol.ts';
import type { Query, Row } from './reader.ts';

const idPrefix = 'sha512-';

/** The hex digits of an image ID, or of a prefix of one. They are its key in the index and the name of its blob. */
export function idDigits(imageId: string): string {
  return imageId.slice(idPrefix.length);
}

const digestPrefix = 'sha256:';

/** The hex digits of a digest, or of a prefix of one. They are its key in the index and the name of its file. */
export function digestDigits(digest: string): string {
  return digest.slice(digestPrefix.length);
}

export function toDigest(digits: string): Digest {
  const digest = digestPrefix + digits;
  if (!isDigest(digest)) throw new Error('a digest is damaged');
  return digest;
}

export function imageIdOf(row: Row, column: string): ImageId {
  const imageId = idPrefix + textOf(row, column);
  if (!isImageId(imageId)) throw new Error(`the column ${column} holds no image ID`);
  return imageId;
}

export function formatImageRow(image: Commit['image'], archive?: KeptArchive): ImageRow {
  return {
    id: idDigits(image.imageId),
    name: image.name,
    version: image.labels.get('version') ?? null,
    labels: JSON.stringify([...image.labels]),
    dependencies: JSON.stringify(
      image.dependencies.map((dependency) => ({ ...dependency, labels: [...dependency.labels] })),
    ),
    size: image.size,
    latest: Number(image.latest),
    source: image.source,
    digest: image.digest,
    verified: image.verified === false ? null : JSON.stringify(image.verified),
    weak: Number(image.weak),
    archive: archive ? digestDigits(archive.digest) : null,
    archiveSize: archive?.size ?? null,
    compression: archive?.compression ?? null,
  };
}

/** The columns that `parseImageRow` reads. */
export const imageColumns =
  'id, name, labels, dependencies, size, imported_at, last_used_at, latest, source, digest, verified, weak, archive, archive_size, compression';

export function parseImageRow(row: Row): StoredImage {
  const isVerified = optionalTextOf(row, 'verified') !== undefined;
  const archive = optionalTextOf(row, 'archive');
  return {
    imageId: imageIdOf(row, 'id'),
    name: textOf(row, 'name'),
    labels: parseLabels(listOf(row, 'labels')),
    size: numberOf(row, 'size'),
    importedAtMs: numberOf(row, 'imported_at'),
    lastUsedAtMs: numberOf(row, 'last_used_at'),
    latest: flagOf(row, 'latest'),
    source: textOf(row, 'source'),
    digest: textOf(row, 'digest'),
    verified: isVerified && listOf(row, 'verified').map(String),
    weak: flagOf(row, 'weak'),
    dependencies: listOf(row, 'dependencies').map(parseDependency),
    ...(archive !== undefined && {
      archive: {
        digest: toDigest(archive),
        size: numberOf(row, 'archive_size'),
        compression: textOf(row, 'compression'),
      },
    }),
  };
}

function parseLabels(pairs: readonly unknown[]): Labels {
  return new Map(
    pairs.map((pair): [string, string] => {
      if (!Array.isArray(pair)) throw new Error('labels are pairs');
      return [String(pair[0]), String(pair[1])];
    }),
  );
}

/** Parses a dependency as `formatImageRow` wrote it: only the labels have another form there. */
function parseDependency(value: unknown): Dependency {
  const { labels, ...rest } = value as Omit<Dependency, 'labels'> & { readonly labels: readonly unknown[] };
  return { ...rest, labels: parseLabels(labels) };
}

/** Keys are stored as hashes, since a URL may contain secrets. */
export function hashKey(text: string): string {
  return hash('sha256', text, 'hex');
}

export function formatRemoteRow(url: string, record: Remote): RemoteRow {
  return {
    key: hashKey(url),
    image: idDigits(record.imageId),
    etag: record.etag ?? null,
    lastModified: record.lastModified ?? null,
    maxAgeMs: record.maxAgeMs,
    checkedAtMs: record.checkedAtMs,
    signatureUrl: record.signatureUrl ?? null,
  };
}

export function parseRemoteRow(row: Row): Remote {
  const etag = optionalTextOf(row, 'etag');
  const lastModified = optionalTextOf(row, 'last_modified');
  const signatureUrl = optionalTextOf(row, 'signature_url');
  return {
    imageId: imageIdOf(row, 'image'),
    maxAgeMs: numberOf(row, 'max_age'),
    checkedAtMs: numberOf(row, 'checked_at'),
    ...(etag !== undefined && { etag }),
    ...(lastModified !== undefined && { lastModified }),
    ...(signatureUrl !== undefined && { signatureUrl }),
  };
}

export function formatProofRow(proof: Proof): ProofRow {
  const { kind, bytes, covers, signedBy } = proof;
  const facts = formatFacts(proof);
  return { kind, signers: JSON.stringify(signedBy), covers, facts: JSON.stringify(facts), bytes };
}

/** What a proof has besides its bytes, as JSON has it. */
function formatFacts(proof: Proof): Readonly<Record<string, unknown>> {
  const log = proof.log && { log: proof.log };
  switch (proof.kind) {
    case 'openpgp':
      return { digests: proof.digests.map((digest) => Buffer.from(digest).toString('hex')) };
    case 'cosign-key':
    case 'cosign-certificate': {
      const { signature, logEntry, timestamp } = proof;
      const { certificate, chain } = proof.kind === 'cosign-certificate' ? proof : {};
      return { signature, certificate, chain, logEntry, timestamp, ...log };
    }
    case 'sigstore-bundle':
      return { ...(proof.document && { document: Buffer.from(proof.document).toString('base64') }), ...log };
    case 'simple-signing':
    case 'policy':
      return { ...log };
  }
}

type Facts = Pick<Proof, 'log'> &
  Omit<
    Extract<Proof, { readonly kind: 'cosign-certificate' }>,
    keyof Extract<Proof, { readonly kind: 'sigstore-bundle' }>
  > & {
    readonly digests: readonly string[];
    readonly document?: string;
  };

/** @returns undefined for a kind that is not known. */
export function parseProofRow(row: Row): Proof | undefined {
  const bytes = row['bytes'];
  if (!(bytes instanceof Uint8Array)) throw new Error('the column bytes is damaged');
  const common = { bytes, covers: textOf(row, 'covers'), signedBy: listOf(row, 'signers').map(String) };
  const kind = textOf(row, 'kind') as Proof['kind'];
  const { digests, document, ...facts } = JSON.parse(textOf(row, 'facts')) as Facts; // as formatFacts has written it
  switch (kind) {
    case 'openpgp':
      return { ...common, kind, digests: digests.map((digest) => Buffer.from(digest, 'hex')) };
    case 'sigstore-bundle':
      return {
        ...facts,
        ...common,
        kind,
        ...(document !== undefined && { document: Buffer.from(document, 'base64') }),
      };
    case 'cosign-key':
    case 'cosign-certificate':
    case 'simple-signing':
    case 'policy':
      return { ...facts, ...common, kind };
    default:
      return undefined;
  }
}

/**
 * These functions read one column of a row. They throw a plain error for a value that we never write: the row is
 * damaged.
 */

export function textOf(row: Row, column: string): string {
  const value = row[column];
  return typeof value === 'string' ? value : damaged(column);
}

export function optionalTextOf(row: Row, column: string): string | undefined {
  return row[column] === null ? undefined : textOf(row, column);
}

export function numberOf(row: Row, column: string): number {
  const value = row[column];
  return typeof value === 'number' ? value : damaged(column);
}

export function optionalNumberOf(row: Row, column: string): number | undefined {
  return row[column] === null ? undefined : numberOf(row, column);
}

export function flagOf(row: Row, column: string): boolean {
  return numberOf(row, column) !== 0;
}

export function listOf(row: Row, column: string): readonly unknown[] {
  const value: unknown = JSON.parse(textOf(row, column));
  return Array.isArray(value) ? value : damaged(column);
}

function damaged(column: string): never {
  throw new Error(`the column ${column} is damaged`);
}

/**
 * Wraps a parser of rows: a row that it refuses is reported as damage of the index.
 *
 * @param path - of the index, for errors.
 */
export function parsingRows<T>(path: string, parse: (row: Row) => T): (row: Row) => T {
  return (row) => {
    try {
      return parse(row);
    } catch (cause) {
      throw damagedIndex(path, cause);
    }
  };
}

/** Rows read at a time when all rows are listed. */
const pageRows = 256;

/** Ends a query that reads all rows in the order of their import, one page at a time. @param condition - of SQL */
export function importPage(condition = 'true'): string {
  return `WHERE (imported_at, seq) > (?, ?) AND ${condition} ORDER BY imported_at, seq LIMIT ${pageRows}`;
}

/** Reads all rows in the order of their import. @param page - selects imported_at and seq, and ends in `importPage`. */
export async function* byImport(page: Query): AsyncGenerator<Row> {
  let last: readonly [number, number] | undefined = [-Infinity, 0];
  while (last) {
    const rows = await page.all(...last);
    yield* rows;
    const end = rows.length < pageRows ? undefined : rows.at(-1);
    last = end && [numberOf(end, 'imported_at'), numberOf(end, 'seq')];
  }
}
