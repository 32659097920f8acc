import { parseHashPrefix } from '../../image/image-id.ts';
import type { GoPlatform } from '../../image/platform.ts';
import type { Referrer, RegistryCommit, RegistryImage, StoredDescriptor } from '../registry-store.ts';
import type { RegistryRow } from './protocol.ts';
import type { Row } from './reader.ts';
import {
  digestDigits,
  flagOf,
  idDigits,
  imageIdOf,
  listOf,
  numberOf,
  optionalNumberOf,
  optionalTextOf,
  textOf,
  toDigest,
} from './rows.ts';

export function formatRegistryRow(commit: RegistryCommit): RegistryRow {
  const { manifest, index, oci, platform, platforms, referrers, imageId } = commit;
  return {
    reference: commit.reference,
    manifest: digestDigits(manifest.digest),
    manifestType: manifest.mediaType,
    manifestSize: manifest.size,
    list: index ? digestDigits(index.digest) : null,
    listType: index?.mediaType ?? null,
    listSize: index?.size ?? null,
    oci: oci ? digestDigits(oci.digest) : null,
    ociType: oci?.mediaType ?? null,
    ociSize: oci?.size ?? null,
    os: platform.os,
    architecture: platform.architecture,
    variant: platform.variant ?? null,
    platforms: platforms ? JSON.stringify(platforms) : null,
    referrers: referrers ? JSON.stringify(referrers) : null,
    image: imageId === undefined ? null : idDigits(imageId),
    latest: Number(commit.latest),
    source: commit.source,
    verified: commit.verified === false ? null : JSON.stringify(commit.verified),
    weak: Number(commit.weak),
  };
}

/** All digests that an image needs, as hex digits without duplicates. */
export function neededBlobs({ manifest, index, oci, blobs }: RegistryCommit): readonly string[] {
  const documents = [manifest, index, oci].flatMap((descriptor) => (descriptor ? [descriptor.digest] : []));
  return [...new Set([...documents, ...blobs])].map(digestDigits);
}

/** The columns that `parseRegistryRow` reads. */
export const registryColumns = `reference, manifest, manifest_type, manifest_size, list, list_type, list_size,
  oci, oci_type, oci_size, os, architecture, variant, platforms, referrers, registry_images.image, imported_at, latest, source, verified, weak,
  max(last_used_at, coalesce((SELECT images.last_used_at FROM images WHERE images.id = registry_images.image), 0))
    last_used_at,
  (SELECT json_group_array(digest) FROM registry_blobs WHERE registry_blobs.image = registry_images.seq) blobs,
  (SELECT coalesce(sum(size), 0) FROM blobs JOIN registry_blobs USING (digest)
    WHERE registry_blobs.image = registry_images.seq)
    + coalesce((SELECT images.size + coalesce(images.archive_size, 0) FROM images
      WHERE images.id = registry_images.image), 0) size`;

export function parseRegistryRow(row: Row): RegistryImage {
  const index = parseDescriptor(row, 'list');
  const oci = parseDescriptor(row, 'oci');
  const variant = optionalTextOf(row, 'variant');
  const has = (column: string): boolean => optionalTextOf(row, column) !== undefined;
  const isVerified = optionalTextOf(row, 'verified') !== undefined;
  return {
    reference: textOf(row, 'reference'),
    manifest: parseDescriptor(row, 'manifest') ?? noManifest(),
    ...(index && { index }),
    ...(oci && { oci }),
    platform: {
      os: textOf(row, 'os'),
      architecture: textOf(row, 'architecture'),
      ...(variant !== undefined && { variant }),
    },
    // lists that formatRegistryRow has written
    ...(has('platforms') && { platforms: listOf(row, 'platforms') as readonly GoPlatform[] }),
    ...(has('referrers') && { referrers: listOf(row, 'referrers') as readonly Referrer[] }),
    blobs: listOf(row, 'blobs').map((digits) => toDigest(String(digits))),
    size: numberOf(row, 'size'),
    ...(optionalTextOf(row, 'image') !== undefined && { imageId: imageIdOf(row, 'image') }),
    importedAtMs: numberOf(row, 'imported_at'),
    lastUsedAtMs: numberOf(row, 'last_used_at'),
    latest: flagOf(row, 'latest'),
    source: textOf(row, 'source'),
    verified: isVerified && listOf(row, 'verified').map(String),
    weak: flagOf(row, 'weak'),
  };
}

/** @param column - of the digest; the columns of type and size have its name as prefix. */
function parseDescriptor(row: Row, column: string): StoredDescriptor | undefined {
  const digits = optionalTextOf(row, column);
  const mediaType = optionalTextOf(row, `${column}_type`);
  const size = optionalNumberOf(row, `${column}_size`);
  if (digits === undefined || mediaType === undefined || size === undefined) return undefined;
  return { mediaType, digest: toDigest(digits), size };
}

function noManifest(): never {
  throw new Error('the manifest is missing');
}

/**
 * Parses a digest or its first digits. Hex digits may be upper case.
 *
 * @returns `sha256:` and 2 to 64 lower-case hex digits.
 * @throws ID_TOO_SHORT below two digits; REFERENCE_INVALID
 */
export function parseDigestPrefix(text: string): string {
  return parseHashPrefix(text, { scheme: 'sha256:', digits: 64, what: 'a digest' });
}
