import type { MessagePort } from 'node:worker_threads';

import { ImageError } from '../src/errors.ts';
import { createOverlay, type Overlay } from './extract/overlay.ts';
import { createPlanner, takeAll, type Plan } from './extract/plan.ts';
import { readBlob, skimBlob } from './extract/read-blob.ts';
import { createTreeWriter, type TreeWriter } from './extract/tree-writer.ts';
import { createWhitelist } from './extract/whitelist.ts';
import { overLimit } from './tar/refuse.ts';
import { createArchiveChecker } from './tar/tar-checker.ts';
import type { ExtractLayer, ExtractRequest, Handler } from './tasks.ts';

/**
 * Writes images of the store into a directory, an upper one before those below it: each path is written once. Every
 * entry passes the archive rules once more before it is made, and each blob is hashed while it is written from. Memory
 * does not depend on the size of files.
 *
 * @throws STORE_CORRUPT when a blob is not its image; ARCHIVE_INVALID and LIMIT_EXCEEDED for one that should not have
 * come into the store; STORE_FULL, STORE_READ_ONLY, FILE_NOT_FOUND and FILE_UNREADABLE for the target; CANCELLED
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

/** A blob that is no archive gives half a plan, and is refused when it is written from. */
async function planLayer(
  { limits }: ExtractRequest,
  layer: ExtractLayer,
  overlay: Overlay,
  check: () => void,
): Promise<Plan> {
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
  readonly plan: Plan;
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
