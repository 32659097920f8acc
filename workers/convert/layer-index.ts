import { blockBytes } from '../tar/header.ts';
import { invalid, overLimit } from '../tar/refuse.ts';
import { createTarReader, type TarEntry } from '../tar/tar-reader.ts';
import type { ConvertLimits } from './requests.ts';
import type { Budget } from './budget.ts';
import { parseLayerPath, trimLayerPath } from './layer-path.ts';
import type { Leaf, Place } from './tree.ts';

/** A hard link whose target is not before it in its layer. */
export type OpenLink = Place & { readonly kind: 'hard-link'; readonly target: string };
export type LayerEntry = Leaf | OpenLink | (Place & { readonly kind: 'directory' });

/** What one layer says about the tree; the last entry of a path counts. */
export type LayerIndex = {
  readonly entries: Map<string, LayerEntry>;
  /** Not in the image, but a hard link may name them. */
  readonly bookkeeping: Map<string, LayerEntry>;
  readonly whiteouts: Set<string>;
  /** Directories. */
  readonly opaques: Set<string>;
};

export type LayerIndexer = {
  push(chunk: Uint8Array): void;
  end(): LayerIndex;
};

const rootfsBytes = 'rootfs/'.length;

/**
 * Reads the headers of a layer's tar. No byte at all is an empty layer.
 *
 * @param layer - its number, 0 for the lowest.
 * @param linked - gets the leaves that have more than one name.
 * @returns an indexer whose calls throw ARCHIVE_INVALID and LIMIT_EXCEEDED.
 * @see docs/rules.md R8
 */
export function createLayerIndexer(
  layer: number,
  limits: ConvertLimits,
  budget: Budget,
  linked: Set<Leaf>,
): LayerIndexer {
  const index: LayerIndex = {
    entries: new Map(),
    bookkeeping: new Map(),
    whiteouts: new Set(),
    opaques: new Set(),
  };
  let start = 0;
  let isEmpty = true;

  const reader = createTarReader(limits.headerBytes, (entry) => {
    const place = { layer, start, offset: entry.offset };
    start = entry.offset + blockBytes + Math.ceil(entry.size / blockBytes) * blockBytes;
    budget.addEntry();
    budget.addText(entry.path.length + entry.linkPath.length);
    const { kind, path } = parseLayerPath(entry.path, entry);
    checkLength(entry, path, limits.pathBytes);
    switch (kind) {
      case 'entry':
        checkEntry(entry, path);
        index.entries.set(path, toLayerEntry(entry, place));
        break;
      case 'bookkeeping':
        index.bookkeeping.set(path, toLayerEntry(entry, place));
        break;
      case 'whiteout':
        index.whiteouts.add(path);
        break;
      case 'opaque':
        index.opaques.add(path);
        break;
    }
    return undefined;
  });

  return {
    push(chunk) {
      isEmpty &&= chunk.length === 0;
      reader.push(chunk);
    },
    end() {
      if (!isEmpty) reader.end();
      return index;
    },
  };

  function toLayerEntry(entry: TarEntry, place: Place): LayerEntry {
    const { kind, size, linkPath } = entry;
    switch (kind) {
      case 'directory':
        return { kind, ...place };
      case 'hard-link':
        return toLink(trimLayerPath(linkPath, entry), entry, place);
      case 'file':
      case 'symlink':
      case 'character-device':
      case 'block-device':
      case 'fifo':
        return { kind, size, linkPath, ...place };
    }
  }

  /** A link is another name of what stands there now, whatever takes that path later in the layer. */
  function toLink(target: string, entry: TarEntry, place: Place): LayerEntry {
    const found = index.entries.get(target) ?? index.bookkeeping.get(target);
    if (!found || found.kind === 'hard-link') return { kind: 'hard-link', target, ...place };
    if (found.kind === 'directory') throw invalid('R8', 'a hard link to a directory', entry);
    linked.add(found);
    return found;
  }
}

function checkEntry({ kind, path: text, offset }: TarEntry, path: string): void {
  const suspect = { path: text, offset };
  if (kind === 'directory') return;
  if (path === '') throw invalid('R8', 'a root that is no directory', suspect);
  if (path === 'dev') throw invalid('R8', 'a /dev that is no directory', suspect);
  if (kind === 'file' && text.endsWith('/'))
    throw invalid('A12', 'a file that some readers take for a directory', suspect);
}

/** The paths have to fit as the image will have them: below `rootfs/`, and a directory's with a slash behind it. */
function checkLength({ kind, linkPath }: TarEntry, path: string, maximum: number): void {
  const own = rootfsBytes + path.length + (kind === 'directory' ? 1 : 0);
  const target = linkPath.length + (kind === 'hard-link' ? rootfsBytes : 0);
  const length = Math.max(own, target);
  if (length > maximum) throw overLimit('path', maximum, `a path of ${length} bytes, as the image would have it`);
}
