import type { TarEntry } from '../tar/extensions.ts';
import { blockBytes } from '../tar/header.ts';
import { invalid, overLimit, type Suspect } from '../tar/refuse.ts';
import { createTarReader } from '../tar/tar-reader.ts';
import { type Following, followPath, type LayerPath, parseLayerPath, splitLayerPath } from './layer-path.ts';
import type { ConvertLimits } from './requests.ts';
import { type Budget, createDirectory, type Directory, type Leaf, type TreeNode, type TreePosition } from './tree.ts';

export type LayerApplier = {
  /** Processes the next bytes of the layer's tar. */
  push(chunk: Uint8Array): void;
  /** Ends the layer. If there were no bytes at all, it is an empty layer. */
  end(): void;
};

/** State that all layers of one image share. */
export type Applying = {
  /** The root of the tree to which the layers are applied. */
  readonly root: Directory;
  readonly limits: ConvertLimits;
  readonly budget: Budget;
  /** Leaves with more than one name are added here. */
  readonly linked: Set<Leaf>;
};

/** A hard link whose target has not appeared yet. */
type OpenLink = Spot & { readonly target: string; readonly suspect: Suspect };
/** A name in a directory, whether or not it exists there. */
type Spot = { readonly directory: Directory; readonly name: string };
/** A directory without links in its path, and the length of that path with a slash after it. */
type Located = { readonly directory: Directory; readonly length: number };

const rootfsBytes = 'rootfs/'.length;

/**
 * Applies a layer to the tree of the layers below, entry by entry, as umoci does. A whiteout hides only entries of
 * lower layers, wherever it is in its own layer.
 *
 * @param layer - its number, 0 for the lowest.
 * @returns an applier whose calls throw ARCHIVE_INVALID and LIMIT_EXCEEDED.
 * @see docs/rules.md R8; OCI image-spec layer.md, Applying Changesets
 */
export function createLayerApplier(layer: number, { root, limits, budget, linked }: Applying): LayerApplier {
  /** For each directory, the names at which, or below which, this layer has an entry. */
  const touched = new Map<Directory, Set<string>>();
  /** Directories that contain nothing of lower layers any more. */
  const cleared = new Set<Directory>();
  /** Nodes of lower layers that this layer removes: a hard link may still refer to them. */
  const hidden = new Map<Directory, Map<string, TreeNode>>();
  /** Hard links to be resolved at the end of the layer, by the leaf that represents them in the tree until then. */
  const openLinks = new Map<Leaf, OpenLink>();
  /** Entries that aufs uses internally, by their whole path. */
  const bookkeeping = createDirectory();
  /**
   * The directory of the previous entry, which is usually that of the next one, too. Reset whenever a node is replaced
   * or removed.
   */
  let last: (Located & { readonly path: string }) | undefined;
  let start = 0;
  let isEmpty = true;

  const now: Following = {
    childOf: ({ children }, name) => children.get(name),
    onLink: (bytes) => budget.addLink(bytes),
  };
  const before: Following = {
    ...now,
    childOf: (directory, name) => hidden.get(directory)?.get(name) ?? directory.children.get(name),
  };

  const reader = createTarReader(limits.headerBytes, takeEntry, { isLayer: true });
  return {
    push(chunk) {
      isEmpty &&= chunk.length === 0;
      reader.push(chunk);
    },
    end() {
      if (!isEmpty) reader.end();
      for (const [standIn, { directory, name }] of openLinks) {
        if (directory.children.get(name) === standIn) bindLink(standIn);
      }
    },
  };

  function takeEntry(entry: TarEntry): undefined {
    const place = { layer, start, offset: entry.offset };
    start = entry.offset + blockBytes + Math.ceil(entry.size / blockBytes) * blockBytes;
    budget.addEntry();
    budget.addText(entry.path.length + entry.linkPath.length);
    checkLength(entry.linkPath.length);
    const path = parseLayerPath(entry.path, entry);
    switch (path.kind) {
      case 'entry':
        return addEntry(entry, path, place);
      case 'bookkeeping':
        if (entry.kind === 'directory') return;
        return putLeaf({ directory: bookkeeping, name: `${path.parent}/${path.name}` }, entry, place);
      case 'whiteout':
        return hideName(directoryAt(path.parent, entry), path.name);
      case 'opaque':
        return clear(directoryAt(path.parent, entry));
    }
  }

  function addEntry(entry: TarEntry, { parent, name }: LayerPath, place: TreePosition): undefined {
    const { directory, length } = makeDirectories(parent, entry);
    checkLength(rootfsBytes + length + name.length + (entry.kind === 'directory' ? 1 : 0));
    if (entry.kind === 'directory') {
      const found = name === '' ? directory : directory.children.get(name);
      const made = found?.kind === 'directory' ? found : createDirectory();
      made.place = place;
      if (name === '') return;
      if (made !== found) cleared.add(made);
      return put({ directory, name }, made);
    }
    if (name === '') throw invalid('R8', 'a root that is no directory', entry);
    if (directory === root && name === 'dev') throw invalid('R8', 'a /dev that is no directory', entry);
    return putLeaf({ directory, name }, entry, place);
  }

  function putLeaf(spot: Spot, entry: TarEntry, place: TreePosition): undefined {
    const { kind, size, sparse, linkPath } = entry;
    if (kind === 'directory') throw new Error('a directory is no leaf');
    if (sparse) return putSparse(spot, { kind: 'file', size: sparse.size, sparse, linkPath, ...place }, size);
    if (kind !== 'hard-link') return put(spot, { kind, size, linkPath, ...place });

    const target = findTarget(linkPath, entry, now);
    if (target && target.kind !== 'directory' && !openLinks.has(target)) {
      linked.add(target);
      return put(spot, target);
    }
    const standIn: Leaf = { kind: 'file', size: 0, linkPath: '', ...place };
    openLinks.set(standIn, { ...spot, target: linkPath, suspect: { path: entry.path, offset: entry.offset } });
    return put(spot, standIn);
  }

  /** @param bytes - of its content in the layer. */
  function putSparse(spot: Spot, leaf: Leaf, bytes: number): undefined {
    budget.addUnpacked(Math.max(0, leaf.size - bytes)); // the image has its holes as zeros
    budget.addText(8 * (leaf.sparse?.map?.length ?? 0));
    return put(spot, leaf);
  }

  function put({ directory, name }: Spot, node: TreeNode): undefined {
    const found = directory.children.get(name);
    if (found && found !== node) {
      last = undefined;
      if (!touched.get(directory)?.has(name)) keepHidden({ directory, name }, found);
    }
    directory.children.set(name, node);
    touch(directory, name);
  }

  function touch(directory: Directory, name: string): void {
    const names = touched.get(directory);
    if (names) names.add(name);
    else touched.set(directory, new Set([name]));
  }

  function hideName(directory: Directory | undefined, name: string): undefined {
    const node = directory?.children.get(name);
    if (!directory || !node) return;
    if (!touched.get(directory)?.has(name)) remove({ directory, name }, node);
    else if (node.kind === 'directory') clear(node);
  }

  /** Removes the nodes of lower layers in a directory. Done at most once per layer. */
  function clear(directory: Directory | undefined): undefined {
    if (!directory || cleared.has(directory)) return;
    cleared.add(directory);
    for (const name of directory.children.keys()) hideName(directory, name);
  }

  function remove({ directory, name }: Spot, node: TreeNode): void {
    directory.children.delete(name);
    keepHidden({ directory, name }, node);
    last = undefined;
  }

  function keepHidden({ directory, name }: Spot, node: TreeNode): void {
    const nodes = hidden.get(directory);
    if (nodes) nodes.set(name, node);
    else hidden.set(directory, new Map([[name, node]]));
  }

  function follow(path: string, suspect: Suspect, following: Following) {
    const steps = followPath(root, path, following);
    if (!steps) throw invalid('R8', 'a path that leads through too many links', suspect);
    return steps;
  }

  function directoryAt(path: string, suspect: Suspect): Directory | undefined {
    const steps = follow(path, suspect, now);
    const node = steps.length === 0 ? root : steps.at(-1)?.node;
    return node?.kind === 'directory' ? node : undefined;
  }

  /** Returns the directory at a path; makes it and its parents if needed. */
  function makeDirectories(path: string, suspect: Suspect): Located {
    if (last?.path === path) return last;
    let directory = root;
    let length = 0;
    for (const { name } of follow(path, suspect, now)) {
      const found = directory.children.get(name) ?? createCountedDirectory();
      if (found.kind !== 'directory') throw invalid('R8', 'an entry below what is no directory', suspect);
      length += name.length + 1;
      if (directory.children.has(name)) touch(directory, name);
      else {
        checkLength(rootfsBytes + length);
        budget.addText(name.length);
        put({ directory, name }, found);
      }
      directory = found;
    }
    last = { path, directory, length };
    return last;
  }

  function createCountedDirectory(): Directory {
    budget.addEntry();
    const made = createDirectory();
    cleared.add(made);
    return made;
  }

  /** The target of a hard link. A symlink at the end of the path is not followed. */
  function findTarget(path: string, suspect: Suspect, following: Following): TreeNode | undefined {
    const { parent, name } = splitLayerPath(path, suspect);
    const kept = bookkeeping.children.get(`${parent}/${name}`);
    if (kept || name === '') return kept ?? root;
    const steps = follow(parent, suspect, following);
    const node = steps.length === 0 ? root : steps.at(-1)?.node;
    return node?.kind === 'directory' ? following.childOf(node, name) : undefined;
  }

  /**
   * Resolves a link, within its own layer if possible, otherwise in the layers below. Links that it leads through are
   * resolved as well.
   */
  function bindLink(standIn: Leaf): void {
    const passedLinks = new Map<Leaf, OpenLink>();
    let leaf = standIn;
    for (let link = openLinks.get(leaf); link; link = openLinks.get(leaf)) {
      const { target, suspect } = link;
      if (passedLinks.has(leaf)) throw invalid('R8', 'hard links that lead in a circle', suspect);
      passedLinks.set(leaf, link);
      const found = findTarget(target, suspect, now) ?? findTarget(target, suspect, before);
      if (!found) throw invalid('R8', 'a hard link to nowhere', suspect);
      if (found.kind === 'directory') throw invalid('R8', 'a hard link to a directory', suspect);
      leaf = found;
    }
    linked.add(leaf);
    for (const [passed, { directory, name }] of passedLinks) {
      if (directory.children.get(name) === passed) directory.children.set(name, leaf);
    }
  }

  /** Checks a path as it will be in the image: below `rootfs/`, and for a directory with a slash at the end. */
  function checkLength(length: number): void {
    const { pathBytes } = limits;
    if (length > pathBytes) throw overLimit('path', pathBytes, `a path of ${length} bytes, as the image would have it`);
  }
}
