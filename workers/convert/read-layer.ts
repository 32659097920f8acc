import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';

import { ImageError, isImageError } from '../../src/errors.ts';
import { raiseStoreError, writeAll } from '../output.ts';
import { reHash } from '../re-hash.ts';
import { openFile, readChunks } from '../read-file.ts';
import type { ConvertRequest } from '../tasks.ts';
import type { Budget } from './budget.ts';
import { createLayerIndexer, type LayerIndex } from './layer-index.ts';
import { inLayer } from './in-layer.ts';
import { openLayer } from './open-layer.ts';
import { openSpool } from './spool.ts';
import type { Leaf } from './tree.ts';

/** What the layers of one conversion share. */
export type Reading = {
  readonly request: ConvertRequest;
  readonly budget: Budget;
  /** Leaves with more than one name. */
  readonly linked: Set<Leaf>;
  /** Closes what has been opened, when all is done. */
  readonly files: AsyncDisposableStack;
  /** Aborted when another layer has failed. */
  readonly signal: AbortSignal;
};

export type ReadLayer = {
  /** The tar: the blob itself, or what it was unpacked to. */
  readonly tar: FileHandle;
  readonly index: LayerIndex;
};

export type LayerBlob = { readonly path: string; readonly digest: string };

/**
 * Reads a layer once: both digests, decompression, the headers; a compressed layer's tar is kept in a file.
 *
 * @param layer - its number, 0 for the lowest.
 * @param diffId - the digest that its tar must have.
 * @throws DIGEST_MISMATCH, ARCHIVE_UNREADABLE, ARCHIVE_INVALID, LIMIT_EXCEEDED, FILE_NOT_FOUND, FILE_UNREADABLE, STORE_FULL
 * @see docs/rules.md R2, R8
 */
export async function readLayer(reading: Reading, layer: number, blob: LayerBlob, diffId: string): Promise<ReadLayer> {
  try {
    return await readBlob(reading, layer, blob, diffId);
  } catch (error) {
    if (reading.signal.aborted) throw error;
    // What is not the layer that was named need not be judged.
    if (isImageError(error) && error.code.startsWith('ARCHIVE_')) await checkBlob(blob);
    throw inLayer(blob.digest, error);
  }
}

async function readBlob(reading: Reading, layer: number, blob: LayerBlob, diffId: string): Promise<ReadLayer> {
  const { request, budget, linked, files, signal } = reading;
  const source = files.use(await openFile(blob.path, blob.digest));
  const transferred = createHash('sha256');
  const { isCompressed, tar } = await openLayer(hashing(readChunks(source, blob.digest), transferred), blob.digest);
  const spoolPath = `${request.image}.layer-${layer}`;
  const spool = isCompressed ? files.use(await openSpool(spoolPath)) : undefined;

  const unpacked = createHash('sha256');
  const indexer = createLayerIndexer(layer, request.limits, budget, linked);
  for await (const chunk of tar) {
    signal.throwIfAborted();
    budget.addUnpacked(chunk.length);
    const written = spool && writeAll(spool, chunk).catch(raiseStoreError(spoolPath));
    try {
      unpacked.update(chunk);
      indexer.push(chunk);
    } finally {
      await written;
    }
  }
  checkDigest(blob.digest, transferred.digest('hex'), 'a layer is not what its digest names');
  checkDigest(diffId, unpacked.digest('hex'), `layer ${blob.digest} does not unpack to what the image's config names`);
  const index = indexer.end();
  if (spool) await source.close();
  return { tar: spool ?? source, index };
}

async function* hashing(
  chunks: AsyncIterable<Uint8Array>,
  hash: { update(chunk: Uint8Array): unknown },
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    hash.update(chunk);
    yield chunk;
  }
}

async function checkBlob({ path, digest }: LayerBlob): Promise<void> {
  const { hex } = await reHash({ path, algorithm: 'sha256' });
  checkDigest(digest, hex, 'a layer is not what its digest names');
}

function checkDigest(asked: string, hex: string, what: string): void {
  const found = `sha256:${hex}`;
  if (found === asked) return;
  throw new ImageError('DIGEST_MISMATCH', `${what}: want ${asked}, got ${found}`, { asked, found });
}
