import { createHash } from 'node:crypto';
import type { MessagePort } from 'node:worker_threads';

import { hasCode, ImageError, isImageError } from '../../src/errors.ts';
import { shortImageId } from '../../src/image/image-id.ts';
import { openFile, readChunks } from '../ingest/read-file.ts';
import { overLimit } from '../tar/refuse.ts';
import { createArchiveChecker } from '../tar/tar-checker.ts';
import type { ExtractLayer, ExtractRequest, Handler } from '../tasks.ts';
import { createOverlay, createPlanner, createWhitelist, type ExtractionPlan, type Overlay, takeAll } from './plan.ts';
import { createTreeWriter, type TreeWriter } from './tree-writer.ts';

/**
 * Writes images from the store to a directory, each before those below it, so that each path is written once. Every
 * entry is checked against the archive rules again before it is made, and each blob is hashed while it is read. The
 * memory needed does not depend on the size of files.
 *
 * @throws STORE_CORRUPT when a blob does not match its image ID; ARCHIVE_INVALID and LIMIT_EXCEEDED for an image that
 * should not have been accepted into the store; STORE_FULL, STORE_READ_ONLY, FILE_NOT_FOUND and FILE_UNREADABLE for the
 * target; CANCELLED
 */
export const extract: Handler<'extract'> = async (request) => {
  const { layers, port } = request;
  using stop = watchPort(port);
  using tree = createTreeWriter(request);
  const overlay = createOverlay();
  for (const [index, layer] of layers.entries()) {
    const isWhole = layers.length === 1 && layer.own.length === 0 && layer.inherited.length === 0;
    const plan = isWhole ? takeAll : await planLayer(request, layer, overlay, stop.check);
    await writeLayer({ request, layer, plan, tree, withManifest: index === 0 && !request.rootfsOnly }, stop.check);
  }
  tree.finish();
  return { skipped: tree.skipped, withoutXattrs: tree.withoutXattrs };
};

/** A damaged blob gives an incomplete plan, and is refused when the layer is written. */
async function planLayer(
  { limits }: ExtractRequest,
  layer: ExtractLayer,
  overlay: Overlay,
  check: () => void,
): Promise<ExtractionPlan> {
  const { onEntry, plan } = createPlanner(overlay, createWhitelist(layer));
  await skimBlob(
    layer,
    createArchiveChecker(limits, () => undefined, onEntry),
    check,
  );
  if (overlay.size > limits.entries) throw overLimit('entries', limits.entries, 'too many entries in the tree');
  return plan;
}

type Writing = {
  readonly request: ExtractRequest;
  readonly layer: ExtractLayer;
  readonly plan: ExtractionPlan;
  readonly tree: TreeWriter;
  readonly withManifest: boolean;
};

async function writeLayer(writing: Writing, check: () => void): Promise<void> {
  const { request, layer, plan, tree, withManifest } = writing;
  const checker = createArchiveChecker(
    request.limits,
    (bytes, { attributes }) => {
      if (withManifest) tree.writeFile('manifest', bytes, attributes);
    },
    (entry, path) => {
      const placement = plan(entry, path);
      return placement && tree.add(entry, placement);
    },
  );
  await readBlob(layer, checker, check);
}

function watchPort(port: MessagePort): Disposable & { readonly check: () => void } {
  let isClosed = false;
  const close = (): void => {
    isClosed = true;
  };
  port.on('close', close);
  return {
    check() {
      if (isClosed) throw new ImageError('CANCELLED', 'the extraction was told to stop', { reason: 'stop' });
    },
    [Symbol.dispose]() {
      port.off('close', close);
      port.close();
    },
  };
}

/** A consumer of a tar, which may refuse it; for instance an ArchiveChecker. */
export type Reading = { push(chunk: Uint8Array): void; end(): unknown };

/**
 * Passes the tar of an image to `reading`, and hashes it. What `reading` throws is kept until the hash is complete: if
 * the blob is damaged, that is reported instead.
 *
 * @param check - throws when the extraction is to stop.
 * @throws STORE_CORRUPT when the blob is missing or does not match the image ID; otherwise what `reading` threw
 */
export async function readBlob(layer: ExtractLayer, reading: Reading, check: () => void): Promise<void> {
  const hash = createHash('sha512');
  let bytes = 0;
  let failure: ImageError | undefined;
  for await (const chunk of chunksOf(layer)) {
    check();
    hash.update(chunk);
    bytes += chunk.length;
    if (bytes > layer.size) break;
    failure ??= failureOf(() => reading.push(chunk));
  }
  if (bytes !== layer.size) throw corrupt(layer, 'wrong size', failure);
  if (`sha512-${hash.digest('hex')}` !== layer.imageId) throw corrupt(layer, 'wrong hash', failure);
  failure ??= failureOf(() => reading.end());
  if (failure) throw failure;
}

/** As readBlob, but without the hash, and stops when `reading` throws. @throws STORE_CORRUPT */
export async function skimBlob(layer: ExtractLayer, reading: Reading, check: () => void): Promise<void> {
  for await (const chunk of chunksOf(layer)) {
    check();
    if (failureOf(() => reading.push(chunk))) return;
  }
}

async function* chunksOf(layer: ExtractLayer): AsyncGenerator<Uint8Array> {
  try {
    await using file = await openFile(layer.blob, layer.blob);
    yield* readChunks(file, layer.blob);
  } catch (error) {
    if (hasCode(error, 'FILE_NOT_FOUND')) throw corrupt(layer, 'missing', error);
    if (hasCode(error, 'FILE_UNREADABLE')) throw corrupt(layer, 'unreadable', error);
    throw error;
  }
}

function failureOf(work: () => unknown): ImageError | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (isImageError(error)) return error;
    throw error;
  }
}

function corrupt({ imageId, blob }: ExtractLayer, problem: string, cause: ImageError | undefined): ImageError {
  const message = `the blob of ${shortImageId(imageId)} is damaged: ${problem}`;
  return new ImageError('STORE_CORRUPT', message, { path: blob }, { cause });
}
