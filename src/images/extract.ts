import { MessageChannel } from 'node:worker_threads';

import { ImageError } from '../errors.ts';
import type { ImageId } from '../image/image-id.ts';
import { defaultLabels, formatLabels, type Labels, type NodePlatform } from '../image/labels.ts';
import type { Limits } from '../image/limits.ts';
import type { Dependency } from '../image/manifest.ts';
import { show } from '../image/show.ts';
import { findExpected } from '../store/index/lookups.ts';
import type { RegistryImage } from '../store/registry-store.ts';
import type { Store, StoredImage } from '../store/store.ts';
import type { ImagesContext } from './check-blob.ts';
import { type Archive, withArchiveOf } from './registry-image.ts';
import { isRegistryImage } from './resolve-image.ts';
import { type TreeTarget, writeTree } from './write-tree.ts';

export type ExtractRequest = ExtractionRequest & { readonly image: StoredImage | RegistryImage };

/**
 * Writes the content of an image to a directory, without its dependencies and ignoring its pathWhitelist. The blob is
 * hashed in the same pass, so the directory is either the complete, intact image or unchanged. Of a registry image an
 * archive is made for that, which is not stored.
 *
 * Owners, setuid bits and devices need root; extended attributes need the program setfattr. Nothing is synced to the
 * disk.
 *
 * @throws STORE_CORRUPT when the blob is damaged, USAGE when the target may not be replaced, FILE_NOT_FOUND when its
 * directory does not exist, STORE_FULL, STORE_READ_ONLY or FILE_UNREADABLE when it cannot be written; as makeArchiveOf.
 */
export function extractImage(
  context: ImagesContext,
  { image, ...request }: ExtractRequest,
  signal: AbortSignal,
): Promise<ExtractionReport> {
  if (!isRegistryImage(image)) return extractStored(context, [{ image, own: [], inherited: [] }], request, signal);
  const extract = async (archive: Archive): Promise<ExtractionReport> => {
    const report = await extractLayers(context, [{ archive, own: [], inherited: [] }], request, signal);
    context.store.touchRegistryImage(image.reference);
    return report;
  };
  return withArchiveOf(context, image, request.limits, extract, signal);
}

export type RenderRequest = ExtractRequest & { readonly platform: NodePlatform };

/**
 * Writes an image and all its dependencies to a directory, layered as for running it: each pathWhitelist applies, and
 * the manifest is that of the image itself. Dependencies are taken only from the store.
 *
 * @throws as extractImage; NOT_IN_STORE and DEPENDENCY_CYCLE, before anything is written.
 * @see flatten for the order
 */
export async function renderImage(
  context: ImagesContext,
  { image, platform, ...request }: RenderRequest,
  signal: AbortSignal,
): Promise<ExtractionReport> {
  if (isRegistryImage(image)) return extractImage(context, { image, ...request }, signal); // it depends on no other
  const layers = await flatten(context.store, image, { limits: request.limits, platform });
  return extractStored(context, layers, request, signal);
}

type ExtractionRequest = TreeTarget & {
  /** With true, the content of rootfs is written to the target; otherwise `manifest` and `rootfs` are. */
  readonly rootfsOnly: boolean;
  readonly limits: Limits;
};

/** The parts of an image that could not be written. `count` is their number, `paths` are the first of them, as in the image. */
export type ExtractionReport = {
  /** Devices and fifos that could not be created: their `count`, and the first `paths`. */
  readonly skipped: { readonly count: number; readonly paths: readonly string[] };
  /** Entries whose extended attributes, which include file capabilities, could not be set: likewise `count` and `paths`. */
  readonly withoutXattrs: { readonly count: number; readonly paths: readonly string[] };
};

/** Writes images of the store to a directory, and records that they were used. */
async function extractStored(
  context: ImagesContext,
  images: readonly FlatImage[],
  request: ExtractionRequest,
  signal: AbortSignal,
): Promise<ExtractionReport> {
  const { store } = context;
  const layers = images.map(({ image: { imageId, size }, own, inherited }) => {
    return { archive: { imageId, size, path: store.blobPath(imageId) }, own, inherited };
  });
  const report = await extractLayers(context, layers, request, signal);
  for (const { image } of images) store.touch(image.imageId);
  return report;
}

type Layer = Pick<FlatImage, 'own' | 'inherited'> & { readonly archive: Omit<Archive, 'warnings'> };

/** Writes archives to a directory, each before those below it. */
async function extractLayers(
  { store, pool }: ImagesContext,
  layers: readonly Layer[],
  { target, overwrite, rootfsOnly, limits }: ExtractionRequest,
  signal: AbortSignal,
): Promise<ExtractionReport> {
  const request = {
    layers: layers.map(({ archive: { imageId, size, path }, ...lists }) => ({ imageId, size, blob: path, ...lists })),
    shown: target,
    rootfsOnly,
    limits: {
      manifestBytes: limits.manifest,
      headerBytes: limits.header,
      entries: limits.entries,
      pathBytes: limits.path,
    },
  };
  return writeTree(store.dir, { target, overwrite }, async (directory) => {
    const { port1, port2 } = new MessageChannel();
    const stop = (): void => port1.close();
    signal.throwIfAborted();
    signal.addEventListener('abort', stop);
    try {
      return await pool.run('extract', { ...request, target: directory, port: port2 }, [port2]);
    } finally {
      signal.removeEventListener('abort', stop);
      port1.close();
      signal.throwIfAborted(); // the report of an aborted extraction is not usable
    }
  });
}

/** An image in the order of extraction: each comes before those below it. */
type FlatImage = {
  readonly image: StoredImage;
  readonly own: readonly string[];
  /** The pathWhitelist of the topmost image above that has one; empty when none has. */
  readonly inherited: readonly string[];
};

export type FlattenOptions = {
  readonly limits: Pick<Limits, 'depth' | 'nodes'>;
  /** The default os and arch of dependencies, when neither they nor the image itself have these labels. */
  readonly platform: NodePlatform;
};

/**
 * Lists an image and all its dependencies, using only the store: each dependency comes after the image that needs it,
 * and of the dependencies of one image the last one comes first. An image that several others need is listed once for
 * each whitelist that applies to it. Further times would add nothing, since each of its paths is written already or
 * hidden.
 *
 * @throws NOT_IN_STORE for a missing dependency, DEPENDENCY_CYCLE, LIMIT_EXCEEDED; NAME_MISMATCH, LABEL_MISMATCH and
 * SIZE_MISMATCH for a pinned one that does not match.
 * @see appc 0.8.11, pkg/acirenderer; spec/aci.md, Dependency Matching
 */
export async function flatten(
  store: Store,
  root: StoredImage,
  { limits, platform }: FlattenOptions,
): Promise<readonly FlatImage[]> {
  const { parseManifest } = await import('../image/manifest.ts'); // loads zod, which most commands do not need
  const flat: FlatImage[] = [];
  const seen = new Set<string>();

  const visit = async (image: StoredImage, above: readonly StoredImage[], inherited: Inherited): Promise<void> => {
    refuseCycle(image, above);
    const key = `${image.imageId} ${inherited.from ?? ''}`;
    if (seen.has(key)) return;
    seen.add(key);
    if (above.length > limits.depth) throw overLimit('depth', limits.depth, 'levels of dependencies');
    if (flat.length >= limits.nodes) throw overLimit('nodes', limits.nodes, 'images below this one');
    const { pathWhitelist: own } = parseManifest(Buffer.from(await store.manifest(image.imageId))).manifest;
    flat.push({ image, own, inherited: inherited.paths });
    const passed = inherited.from === undefined && own.length > 0 ? { from: image.imageId, paths: own } : inherited;
    for (const dependency of image.dependencies.toReversed()) {
      const found = await findDependency(store, dependency, () => defaultsOf(root, platform));
      if (!found) throw missing(dependency, image);
      await visit(found, [...above, image], passed);
    }
  };
  await visit(root, [], { from: undefined, paths: [] });
  return flat;
}

type Inherited = { readonly from: ImageId | undefined; readonly paths: readonly string[] };

/**
 * The image that a fetch would choose: one for this platform if possible, otherwise any, since absent labels match
 * every value.
 */
export async function findDependency(
  store: Store,
  dependency: Dependency,
  defaults: () => Labels,
): Promise<StoredImage | undefined> {
  const { imageName: name, ...rest } = dependency;
  if (rest.imageId !== undefined) return findExpected(store, { name, ...rest });
  return (await findExpected(store, { name, ...rest, defaults: defaults() })) ?? findExpected(store, { name, ...rest });
}

/** The platform in the labels of the image, otherwise that of this machine. */
function defaultsOf({ labels }: StoredImage, platform: NodePlatform): Labels {
  const stated = new Map([...labels].filter(([name]) => name === 'os' || name === 'arch'));
  return stated.size > 0 ? stated : defaultLabels(new Map(), platform);
}

function refuseCycle(image: StoredImage, above: readonly StoredImage[]): void {
  const start = above.findIndex(({ imageId }) => imageId === image.imageId);
  if (start === -1) return;
  const path = [...above.slice(start), image].map(({ name }) => name);
  throw new ImageError('DEPENDENCY_CYCLE', `it depends on itself: ${path.join(' → ')}`, { path });
}

function missing({ imageName, imageId, labels }: Dependency, image: StoredImage): ImageError {
  const asked = imageId ?? [imageName, ...(labels.size > 0 ? [formatLabels(labels)] : [])].join(',');
  const what = imageId === undefined ? show(asked) : `${imageName} with the ID ${show(asked)}`;
  return new ImageError('NOT_IN_STORE', `${image.name} needs ${what}, which is not in the store`, { asked });
}

function overLimit(limit: string, maximum: number, what: string): ImageError {
  return new ImageError('LIMIT_EXCEEDED', `more ${what} than ${maximum}`, { limit, maximum });
}
