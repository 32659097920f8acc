import type { FileHandle } from 'node:fs/promises';

import { openFile, readChunks } from '../ingest/read-file.ts';
import type { ConvertLayer, ConvertRequest } from './requests.ts';
import { createLayerApplier, type Applying } from './apply-layer.ts';
import { createBudget, createDirectory, type Directory, type Leaf } from './tree.ts';
import { ImageError, isImageError } from '../../src/errors.ts';

/** What is left of all layers, and the tars that it is in. */
export type ReadTree = {
  readonly root: Directory;
  /** Leaves that may have more than one name. */
  readonly linked: ReadonlySet<Leaf>;
  /** By number of the layer. */
  readonly tars: readonly FileHandle[];
};

/**
 * Reads the headers of all layers and lays them over each other.
 *
 * @param files - closes the tars, when all is done.
 * @throws ARCHIVE_INVALID, LIMIT_EXCEEDED, FILE_NOT_FOUND, FILE_UNREADABLE
 */
export async function readTree({ layers, limits }: ConvertRequest, files: AsyncDisposableStack): Promise<ReadTree> {
  const applying = { root: createDirectory(), linked: new Set<Leaf>(), limits, budget: createBudget(limits) };
  const tars: FileHandle[] = [];
  for (const [number, layer] of layers.entries()) {
    const tar = files.use(await openFile(layer.tar, layer.digest));
    tars.push(tar);
    try {
      await applyLayer(applying, number, { tar, layer });
    } catch (error) {
      throw inLayer(layer.digest, error);
    }
  }
  return { root: applying.root, linked: applying.linked, tars };
}

async function applyLayer(
  applying: Applying,
  number: number,
  { tar, layer }: { readonly tar: FileHandle; readonly layer: ConvertLayer },
): Promise<void> {
  const applier = createLayerApplier(number, applying);
  for await (const chunk of readChunks(tar, layer.digest)) {
    applying.budget.addUnpacked(chunk.length);
    applier.push(chunk);
  }
  applier.end();
}

/** What went wrong in a layer, with its digest where that is not said yet. */
export function inLayer(digest: string, error: unknown): unknown {
  if (!isImageError(error) || !error.code.startsWith('ARCHIVE_')) return error;
  return new ImageError(error.code, `layer ${digest}: ${error.message}`, error.details, { cause: error });
}
