import { MessageChannel } from 'node:worker_threads';

import type { StoredImage, Store } from '../store/store.ts';
import type { ImagesContext } from './check-blob.ts';
import { type NodePlatform, defaultLabels, formatLabels, type Labels } from '../image/labels.ts';
import type { Limits } from '../image/limits.ts';
import { writeTree, type TreeTarget } from './write-tree.ts';
import { ImageError } from '../errors.ts';
import type { ImageId } from '../image/image-id.ts';
import type { Dependency } from '../image/manifest.ts';
import { show } from '../image/show.ts';
import { findExpected } from '../store/index/lookups.ts';

export type ExtractRequest = ExtractionRequest & { readonly image: StoredImage };

/**
 * Writes what is in an image, without its dependencies and whatever its pathWhitelist says, into a directory. The blob is
 * hashed in the same pass: the directory is the whole, sound image, or what it was before.
 *
 * Owners, setuid and devices need root, extended attributes the system's setfattr. Nothing is synced to the disk.
 *
 * @throws STORE_CORRUPT when the blob is damaged, USAGE when the target may not be replaced, FILE_NOT_FOUND when its
 * directory is not there, STORE_FULL, STORE_READ_ONLY or FILE_UNREADABLE when it cannot be written.
 */
export function extractImage(
  context: ImagesContext,
  { image, ...request }: ExtractRequest,
  signal: AbortSignal,
): Promise<ExtractionReport> {
  return extractLayers(context, [{ image, own: [], inherited: [] }], request, signal);
}

export type RenderRequest = ExtractionRequest & { readonly image: StoredImage; readonly platform: NodePlatform };

/**
 * Writes an image over all that it depends on into a directory, as it would be run: every pathWhitelist applies, and the
 * manifest is the image's own. Dependencies come from the store alone.
 *
 * @throws as extractImage; NOT_IN_STORE and DEPENDENCY_CYCLE, before anything is written.
 * @see flatten for the order
 */
export async function renderImage(
  context: ImagesContext,
  { image, platform, ...request }: RenderRequest,
  signal: AbortSignal,
): Promise<ExtractionReport> {
  const layers = await flatten(context.store, image, { limits: request.limits, platform });
  return extractLayers(context, layers, request, signal);
}

export type ExtractionRequest = TreeTarget & {
  /** What is below rootfs becomes the target; otherwise the target holds `manifest` and `rootfs`. */
  readonly rootfsOnly: boolean;
  readonly limits: Limits;
};

/** What of the images is not in the tree, as it is named in them: how many paths, and the first. */
export type ExtractionReport = {
  /** Devices and fifos that could not be made. */
  readonly skipped: { readonly count: number; readonly paths: readonly string[] };
  /** What has extended attributes, file capabilities too, that could not be set. */
  readonly withoutXattrs: { readonly count: number; readonly paths: readonly string[] };
};

/** Writes images into a directory, an upper one before those below it, and notes that they were used. */
async function extractLayers(
  { store, pool }: ImagesContext,
  layers: readonly FlatImage[],
  { target, overwrite, rootfsOnly, limits }: ExtractionRequest,
  signal: AbortSignal,
): Promise<ExtractionReport> {
  const request = {
    layers: layers.map(({ image: { imageId, size }, own, inherited }) => {
      return { imageId, size, blob: store.blobPath(imageId), own, inherited };
    }),
    shown: target,
    rootfsOnly,
    limits: {
      manifestBytes: limits.manifest,
      headerBytes: limits.header,
      entries: limits.entries,
      pathBytes: limits.path,
    },
  };
  const report = await writeTree(store.dir, { target, overwrite }, async (directory) => {
    const { port1, port2 } = new MessageChannel();
    const stop = (): void => port1.close();
    signal.throwIfAborted();
    signal.addEventListener('abort', stop);
    try {
      return await pool.run('extract', { ...request, target: directory, port: port2 }, [port2]);
    } finally {
      signal.removeEventListener('abort', stop);
      port1.close();
      signal.throwIfAborted(); // what an interrupted extraction says of itself is of no use
    }
  });
  for (const { image } of layers) store.touch(image.imageId);
  return report;
}

/** An image in the order in which a tree is laid: each before those that it lies upon. */
type FlatImage = {
  readonly image: StoredImage;
  readonly own: readonly string[];
  /** The pathWhitelist of the topmost image above that has one; empty when none has. */
  readonly inherited: readonly string[];
};

export type FlattenOptions = {
  readonly limits: Pick<Limits, 'depth' | 'nodes'>;
  /** Where os and arch of dependencies come from when neither they nor the image itself say. */
  readonly platform: NodePlatform;
};

/**
 * An image and all it depends on, from the store alone: each dependency below its parent, the last one listed first.
 * An image that several depend on is there once for each whitelist that applies to it: below the first time it has
 * nothing to add any more, since each of its paths is there already or hidden.
 *
 * @throws NOT_IN_STORE for a dependency that is not there, DEPENDENCY_CYCLE, LIMIT_EXCEEDED; NAME_MISMATCH,
 * LABEL_MISMATCH and SIZE_MISMATCH for one that is pinned and is not what it should be.
 * @see appc 7.1, 7.2, 7.4.2, 7.4.3
 */
export async function flatten(
  store: Store,
  root: StoredImage,
  { limits, platform }: FlattenOptions,
): Promise<readonly FlatImage[]> {
  const { parseManifest } = await import('../image/manifest.ts'); // with zod, which most commands do without
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

/** What a fetch would take: of this platform if there is one. Labels left out are wildcards, so another will do. */
async function findDependency(
  store: Store,
  dependency: Dependency,
  defaults: () => Labels,
): Promise<StoredImage | undefined> {
  const { imageName: name, ...rest } = dependency;
  if (rest.imageId !== undefined) return findExpected(store, { name, ...rest });
  return (await findExpected(store, { name, ...rest, defaults: defaults() })) ?? findExpected(store, { name, ...rest });
}

/** The platform that the image says it is for; this machine's when it is silent. */
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
