import { ImageError, isImageError } from '../../src/errors.ts';
import { type OpenedFile, openFile, readChunks } from '../ingest/read-file.ts';
import { type Applying, createLayerApplier } from './apply-layer.ts';
import type { ConvertLayer, ConvertRequest } from './requests.ts';
import { createBudget, createDirectory, type Directory, type Leaf } from './tree.ts';

/** The tree that results from all layers, and the tars with the contents. */
export type ReadTree = {
  readonly root: Directory;
  /** Leaves that may have more than one name. */
  readonly linked: ReadonlySet<Leaf>;
  /** By the number of the layer. */
  readonly tars: readonly OpenedFile[];
};

/**
 * Reads the headers of all layers and builds the resulting tree.
 *
 * @param files - closes the tars when the conversion has ended.
 * @throws ARCHIVE_INVALID, LIMIT_EXCEEDED, FILE_NOT_FOUND, FILE_UNREADABLE
 */
export async function readTree({ layers, limits }: ConvertRequest, files: AsyncDisposableStack): Promise<ReadTree> {
  const applying = { root: createDirectory(), linked: new Set<Leaf>(), limits, budget: createBudget(limits) };
  const tars: OpenedFile[] = [];
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
  { tar, layer }: { readonly tar: OpenedFile; readonly layer: ConvertLayer },
): Promise<void> {
  const applier = createLayerApplier(number, applying);
  for await (const chunk of readChunks(tar, layer.digest)) {
    applying.budget.addUnpacked(chunk.length);
    applier.push(chunk);
  }
  applier.end();
}

/** Adds the digest of the layer to an error about its tar. */
export function inLayer(digest: string, error: unknown): unknown {
  if (!isImageError(error) || !error.code.startsWith('ARCHIVE_')) return error;
  return new ImageError(error.code, `layer ${digest}: ${error.message}`, error.details, { cause: error });
}
