import type { FileHandle } from 'node:fs/promises';

import type { ConvertRequest } from './requests.ts';
import { applyLayer } from './apply-layer.ts';
import { createBudget } from './budget.ts';
import { inLayer } from './in-layer.ts';
import { readLayer } from './read-layer.ts';
import { createDirectory, type Directory, type Leaf } from './tree.ts';

/** What is left of all layers, and the tars that it is in. */
export type ReadTree = {
  readonly root: Directory;
  /** Leaves that may have more than one name. */
  readonly linked: ReadonlySet<Leaf>;
  /** By number of the layer. */
  readonly tars: readonly FileHandle[];
};

/**
 * Reads all layers and lays them over each other.
 *
 * @param files - closes the tars.
 */
export async function readTree({ layers, limits }: ConvertRequest, files: AsyncDisposableStack): Promise<ReadTree> {
  const budget = createBudget(limits);
  const linked = new Set<Leaf>();
  const root = createDirectory();
  const tars: FileHandle[] = [];
  for (const [number, layer] of layers.entries()) {
    const { tar, index } = await readLayer({ limits, budget, linked, files }, number, layer);
    tars.push(tar);
    try {
      applyLayer(root, index, budget, linked);
    } catch (error) {
      throw inLayer(layer.digest, error);
    }
  }
  return { root, linked, tars };
}
