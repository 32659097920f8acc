import type { FileHandle } from 'node:fs/promises';

import { openFile, readChunks } from '../read-file.ts';
import type { ConvertLayer, ConvertLimits } from './requests.ts';
import type { Budget } from './budget.ts';
import { inLayer } from './in-layer.ts';
import { createLayerIndexer, type LayerIndex } from './layer-index.ts';
import type { Leaf } from './tree.ts';

/** What the layers of one conversion share. */
export type Reading = {
  readonly limits: ConvertLimits;
  readonly budget: Budget;
  /** Leaves with more than one name. */
  readonly linked: Set<Leaf>;
  /** Closes what has been opened, when all is done. */
  readonly files: AsyncDisposableStack;
};

export type ReadLayer = { readonly tar: FileHandle; readonly index: LayerIndex };

/**
 * Reads the headers of a layer's tar.
 *
 * @param number - 0 for the lowest.
 * @throws ARCHIVE_INVALID, LIMIT_EXCEEDED, FILE_NOT_FOUND, FILE_UNREADABLE
 * @see docs/rules.md R8
 */
export async function readLayer(reading: Reading, number: number, layer: ConvertLayer): Promise<ReadLayer> {
  const { limits, budget, linked, files } = reading;
  const tar = files.use(await openFile(layer.tar, layer.digest));
  const indexer = createLayerIndexer(number, limits, budget, linked);
  try {
    for await (const chunk of readChunks(tar, layer.digest)) {
      budget.addUnpacked(chunk.length);
      indexer.push(chunk);
    }
    return { tar, index: indexer.end() };
  } catch (error) {
    throw inLayer(layer.digest, error);
  }
}
