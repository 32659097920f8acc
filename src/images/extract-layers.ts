import { MessageChannel } from 'node:worker_threads';

import type { Limits } from '../image/limits.ts';
import type { ImagesContext } from './check-blob.ts';
import type { FlatImage } from './flatten.ts';
import { writeTree, type TreeTarget } from './write-tree.ts';

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
export async function extractLayers(
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
