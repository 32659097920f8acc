import { invalid } from '../tar/refuse.ts';
import type { Budget } from './budget.ts';
import type { LayerIndex, OpenLink } from './layer-index.ts';
import { parentOf } from './layer-path.ts';
import { createDirectory, findNode, type Directory, type Leaf, type Node } from './tree.ts';

/**
 * Lays a layer over the tree of those below it: first its whiteouts, wherever they stand in it, then its entries.
 *
 * @param linked - gets the leaves that have more than one name.
 * @throws ARCHIVE_INVALID, LIMIT_EXCEEDED
 * @see docs/rules.md R8; OCI image-spec layer.md, Applying Changesets
 */
export function applyLayer(root: Directory, layer: LayerIndex, budget: Budget, linked: Set<Leaf>): void {
  resolveLinks(root, layer, linked);
  for (const path of layer.whiteouts) findLower(root, layer, parentOf(path))?.children.delete(nameOf(path));
  for (const path of layer.opaques) findLower(root, layer, path)?.children.clear();

  const directoryAt = createPlacer(root, layer, budget);
  for (const [path, entry] of layer.entries) {
    if (entry.kind === 'directory') directoryAt(path).place = entry;
    else if (entry.kind !== 'hard-link') directoryAt(parentOf(path)).children.set(nameOf(path), entry);
  }
}

/** Binds the links that are still open: to what their own layer has, else to what the layers below have. */
function resolveLinks(root: Directory, layer: LayerIndex, linked: Set<Leaf>): void {
  for (const entries of [layer.bookkeeping, layer.entries]) {
    for (const [path, entry] of entries) {
      if (entry.kind !== 'hard-link') continue;
      const { names, leaf } = followLinks(root, layer, path, entry);
      linked.add(leaf);
      for (const name of names) (layer.entries.has(name) ? layer.entries : layer.bookkeeping).set(name, leaf);
    }
  }
}

/** @returns what the link leads to, and the names of the links on the way, so that none is followed twice. */
function followLinks(
  root: Directory,
  { entries, bookkeeping }: LayerIndex,
  path: string,
  link: OpenLink,
): { readonly names: ReadonlySet<string>; readonly leaf: Leaf } {
  const suspect = { path, offset: link.offset };
  const names = new Set([path]);
  for (let { target } = link; ;) {
    const found = entries.get(target) ?? bookkeeping.get(target) ?? findNode(root, target);
    if (!found) throw invalid('R8', 'a hard link to nowhere', suspect);
    if (found.kind === 'directory') throw invalid('R8', 'a hard link to a directory', suspect);
    if (found.kind !== 'hard-link') return { names, leaf: found };
    if (names.has(target)) throw invalid('R8', 'hard links that lead in a circle', suspect);
    names.add(target);
    target = found.target;
  }
}

/** The directory of the layers below whose content is to be hidden. Who unpacks layers would follow a symlink there. */
function findLower(root: Directory, { entries }: LayerIndex, path: string): Directory | undefined {
  let node: Node | undefined = root;
  for (let end = path === '' ? -1 : 0; end !== -1 && node?.kind === 'directory';) {
    const next = path.indexOf('/', end + 1);
    const [name, upTo] = next === -1 ? [path.slice(end), path] : [path.slice(end, next), path.slice(0, next)];
    node = node.children.get(name);
    if (node?.kind === 'symlink' && !entries.has(upTo)) throw invalid('A12', 'a whiteout below a symlink', { path });
    end = next === -1 ? -1 : next + 1;
  }
  return node?.kind === 'directory' ? node : undefined;
}

/** @returns the directory at a path, made when it is not there; it takes the place of a file only by an entry of its own. */
function createPlacer(root: Directory, layer: LayerIndex, budget: Budget): (path: string) => Directory {
  const placed = new Map<string, Directory>([['', root]]);
  const directoryAt = (path: string): Directory => {
    const known = placed.get(path);
    if (known) return known;
    const parent = directoryAt(parentOf(path));
    const entry = layer.entries.get(path);
    if (entry && entry.kind !== 'directory') throw invalid('A12', 'an entry below what is no directory', { path });
    const found = parent.children.get(nameOf(path));
    const directory = found?.kind === 'directory' ? found : createDirectory();
    if (directory !== found) {
      if (found && !entry) throw invalid('A12', 'an entry below what is no directory in a lower layer', { path });
      if (!entry) budget.addEntry();
      parent.children.set(nameOf(path), directory);
    }
    placed.set(path, directory);
    return directory;
  };
  return directoryAt;
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
