import { isImageId, type ImageId } from '../image/image-id.ts';
import type { Labels } from '../image/labels.ts';
import type { Dependency } from '../image/manifest.ts';
import type { ImageRow } from '../../workers/index-writer/protocol.ts';
import { flagOf, listOf, numberOf, optionalTextOf, textOf } from './columns.ts';
import type { Row } from './reader.ts';
import type { Commit, StoredImage } from './store.ts';

const idPrefix = 'sha512-';

/** The hex digits of an ID, or of the beginning of one: its key in the index and the name of its blob. */
export function idDigits(imageId: string): string {
  return imageId.slice(idPrefix.length);
}

export function imageIdOf(row: Row, column: string): ImageId {
  const imageId = idPrefix + textOf(row, column);
  if (!isImageId(imageId)) throw new Error(`the column ${column} holds no image ID`);
  return imageId;
}

export function formatImageRow(image: Commit['image']): ImageRow {
  return {
    id: idDigits(image.imageId),
    name: image.name,
    version: image.labels.get('version') ?? null,
    labels: JSON.stringify([...image.labels]),
    dependencies: JSON.stringify(image.dependencies.map((one) => ({ ...one, labels: [...one.labels] }))),
    size: image.size,
    latest: Number(image.latest),
    source: image.source,
    digest: image.digest,
    verified: image.verified === false ? null : JSON.stringify(image.verified),
    weak: Number(image.weak),
  };
}

/** The columns that `parseImageRow` reads. */
export const imageColumns =
  'id, name, labels, dependencies, size, imported_at, last_used_at, latest, source, digest, verified, weak';

export function parseImageRow(row: Row): StoredImage {
  const isVerified = optionalTextOf(row, 'verified') !== undefined;
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

/** A dependency as `formatImageRow` wrote it; only its labels had to take another form. */
function parseDependency(value: unknown): Dependency {
  const { labels, ...rest } = value as Omit<Dependency, 'labels'> & { readonly labels: readonly unknown[] };
  return { ...rest, labels: parseLabels(labels) };
}
