import type { FileHandle } from 'node:fs/promises';

import type { ConvertRequest } from '../tasks.ts';
import { applyLayer } from './apply-layer.ts';
import { createBudget } from './budget.ts';
import { inLayer } from './in-layer.ts';
import { readLayers } from './read-layers.ts';
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
 * @param diffIds - one for each layer.
 * @param files - closes the tars.
 */
export async function readTree(
  request: ConvertRequest,
  diffIds: readonly string[],
  files: AsyncDisposableStack,
): Promise<ReadTree> {
  const budget = createBudget(request.limits);
  const linked = new Set<Leaf>();
  const layers = await readLayers({ request, budget, linked, files }, diffIds);
  const root = createDirectory();
  for (const [number, { index }] of layers.entries()) {
    try {
      applyLayer(root, index, budget, linked);
    } catch (error) {
      throw inLayer(request.layers[number]?.digest ?? '', error);
    }
  }
  return { root, linked, tars: layers.map(({ tar }) => tar) };
}
