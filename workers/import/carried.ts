import * as z from 'zod';

import { type Bundle, bundleDocument } from '../../src/bundle/bundle.ts';
import { parseBundle } from '../../src/bundle/parse-bundle.ts';
import { ImageError, isImageError, toErrorData } from '../../src/errors.ts';
import { type Digest, isDigest } from '../../src/image/digest.ts';
import { listOf, text, texts } from '../../src/image/go-json.ts';
import { type ImageId, parseImageId } from '../../src/image/image-id.ts';
import { describeJsonFault, parseJsonStrict } from '../../src/image/json.ts';
import { checkShape, formatFault } from '../../src/image/shape.ts';
import { show } from '../../src/image/show.ts';
import { invalid } from '../tar/refuse.ts';
import type { Carried, CarriedEntry, CarriedFile, SavedImage } from './requests.ts';

/** The files of an archive of images. Paths have neither a leading `./` nor `..` in them. */
export type CarriedFiles = {
  /** What says which images there are. */
  readonly metadata: ReadonlyMap<string, Buffer>;
  /** What the store has of the archive now. */
  readonly stored: ReadonlyMap<string, CarriedFile>;
  readonly links: Map<string, Link>;
  /** Blobs that are not what they are named by: the digest of what is there. */
  readonly altered: ReadonlyMap<Digest, Digest>;
};

/** The target of a symlink counts from its directory, that of a hard link from the top. */
type Link = { readonly kind: 'hard-link' | 'symlink'; readonly target: string };

const [layoutFile, indexFile, savedFile] = ['oci-layout', 'index.json', 'manifest.json'] as const;

export function isMetadata(path: string): boolean {
  return [layoutFile, indexFile, savedFile, bundleDocument].includes(path);
}

/** Enough for 100 000 images. */
export const maxMetadataBytes = 64 * 1024 * 1024;

const layoutShape = z.object({ imageLayoutVersion: z.literal('1.0.0') });

const digest = z.custom<Digest>(
  (value) => typeof value === 'string' && isDigest(value),
  'must be sha256: and 64 lower-case hex digits',
);

const indexShape = z.object({
  schemaVersion: z.literal(2),
  manifests: listOf(
    z.object({ mediaType: text, digest, size: z.int().nonnegative(), artifactType: text, annotations: texts }),
  ),
});

const savedShape = z.array(z.object({ Config: z.string(), RepoTags: listOf(z.string()), Layers: listOf(z.string()) }));

/**
 * What an archive says of its images. Where it is a layout of OCI and one of docker at once, as docker writes it, the layout counts: it has
 * the manifests that the images came with.
 *
 * @param shown - the name of the archive, for errors.
 * @throws ARCHIVE_UNREADABLE if it is neither, MANIFEST_INVALID, ARCHIVE_INVALID
 * @see OCI image-spec, image-layout.md; docker, image/spec/v1.2.md (Combined Image JSON + Filesystem Changeset Format)
 */
export function readCarried(files: CarriedFiles, shown: string): Carried {
  const { metadata, altered } = files;
  const images = { kind: 'images', altered, bundle: readBundle(metadata), tars: tarsOf(files) } as const;
  if (metadata.has(indexFile)) {
    if (metadata.has(layoutFile)) parse(layoutFile, layoutShape, metadata);
    if (!metadata.has(savedFile)) refuseLinks(files);
    const { manifests } = parse(indexFile, indexShape, metadata);
    return { ...images, entries: manifests.map(entryOf), saved: [] };
  }
  if (metadata.has(savedFile)) {
    const saved = parse(savedFile, savedShape, metadata);
    return { ...images, entries: [], saved: saved.map((one) => savedImage(files, one, shown)) };
  }
  const message = `no archive of images: it has neither ${indexFile} (OCI) nor ${savedFile} (docker save)`;
  throw new ImageError('ARCHIVE_UNREADABLE', message, { path: shown, looksLike: 'another tar' });
}

/** @throws MANIFEST_INVALID */
function readBundle(metadata: CarriedFiles['metadata']): Bundle | undefined {
  const bytes = metadata.get(bundleDocument);
  if (!bytes) return undefined;
  const parsed = parseBundle(bytes);
  if (parsed.ok) return parsed.bundle;
  throw new ImageError('MANIFEST_INVALID', `bad ${bundleDocument}: ${parsed.problem}`, {});
}

/** The path of the tar of an archive in a bundle. */
export const tarPath = /^longshore\/blobs\/sha512\/([0-9a-f]{128})$/;

function tarsOf({ stored }: CarriedFiles): ReadonlyMap<ImageId, CarriedFile> {
  const tars = new Map<ImageId, CarriedFile>();
  for (const [path, file] of stored) {
    const [, hex] = tarPath.exec(path) ?? [];
    if (hex !== undefined) tars.set(parseImageId(`sha512-${hex}`), file);
  }
  return tars;
}

function parse<T>(name: string, shape: z.ZodType<T>, metadata: CarriedFiles['metadata']): T {
  const json = parseJsonStrict(metadata.get(name) ?? '', { caseSensitive: true });
  if (!json.ok) throw new ImageError('MANIFEST_INVALID', `${name} ${describeJsonFault(json.fault)}`, {});
  const shaped = checkShape(shape, json.value);
  if (shaped.ok) return shaped.value;
  const { fault } = shaped;
  const details = fault.field === '' ? {} : { field: fault.field };
  throw new ImageError('MANIFEST_INVALID', `bad ${name}: ${formatFault(fault)}`, details);
}

/** containerd and docker put the whole name into an annotation of their own, and perhaps only the tag into that of OCI. */
function entryOf({ annotations, ...entry }: z.infer<typeof indexShape>['manifests'][number]): CarriedEntry {
  const name = annotations['io.containerd.image.name'] || annotations['org.opencontainers.image.ref.name'];
  return { ...entry, name: name || undefined };
}

/** What is wrong with one image does not matter to the others. */
function savedImage(
  files: CarriedFiles,
  { Config, RepoTags: names, Layers }: z.infer<typeof savedShape>[number],
  shown: string,
): SavedImage {
  try {
    const [, hex] = /(?:^|\/)(?:sha256:)?([0-9a-f]{64})(?:\.json)?$/.exec(Config) ?? [];
    const named = `sha256:${hex}`;
    const config = { ...fileAt(files, Config, shown), named: isDigest(named) ? named : undefined };
    return { names, config, layers: Layers.map((path) => fileAt(files, path, shown)) };
  } catch (error) {
    if (!isImageError(error)) throw error;
    return { names, fault: toErrorData(error) };
  }
}

function refuseLinks({ links }: CarriedFiles): void {
  for (const path of links.keys()) throw invalid('I4', 'a link in an archive of OCI', { path });
}

/** skopeo and docker write links for layers that images share. */
const maxLinks = 8;

/** The file that an image needs, by way of links. @throws ARCHIVE_UNREADABLE, ARCHIVE_INVALID */
function fileAt({ stored, links, altered }: CarriedFiles, path: string, shown: string): CarriedFile {
  let at = path.replace(/^\.\//, '');
  for (let count = 0; count <= maxLinks; count += 1) {
    const file = stored.get(at);
    if (file && !altered.has(file.digest)) return file;
    const link = links.get(at);
    if (!link) break;
    at = targetOf(at, link);
  }
  const message = `the archive has no file ${show(path)}, which one of its images needs`;
  throw new ImageError('ARCHIVE_UNREADABLE', message, { path: shown });
}

function targetOf(path: string, { kind, target }: Link): string {
  if (target.startsWith('/')) throw invalid('I4', 'a link to an absolute path', { path });
  const parts = kind === 'symlink' ? path.split('/').slice(0, -1) : [];
  for (const part of target.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) throw invalid('I4', 'a link that leads out of the archive', { path });
  }
  return parts.join('/');
}
