import { invalid, type Suspect } from '../tar/refuse.ts';
import type { Directory, TreeNode } from './tree.ts';

/** A path in a layer: its directory, without following links, and the name there. The root has an empty name. */
export type LayerPath = {
  /**
   * The meaning of the path: an entry; a whiteout of this name in the layers below; an opaque whiteout, of everything
   * that they have in the directory; or a file that aufs uses internally. The last one is no part of the image, but
   * hard links may refer to it.
   */
  readonly kind: 'entry' | 'whiteout' | 'opaque' | 'bookkeeping';
  readonly parent: string;
  readonly name: string;
};

const marker = '.wh.';
const reserved = '.wh..wh.';
const opaque = '.wh..wh..opq';

/** @throws ARCHIVE_INVALID @see docs/rules.md R8; OCI image-spec layer.md, Whiteouts */
export function parseLayerPath(text: string, suspect: Suspect): LayerPath {
  const path = splitLayerPath(text, suspect);
  if (!text.includes(marker)) return { kind: 'entry', ...path };

  const { parent, name } = path;
  const parts = parent.split('/');
  if (parts.some((part) => part.startsWith(reserved))) return { kind: 'bookkeeping', ...path };
  if (parts.some((part) => part.startsWith(marker))) throw invalid('R8', 'an entry below a whiteout', suspect);
  if (name === opaque) return { kind: 'opaque', ...path };
  if (name.startsWith(reserved)) return { kind: 'bookkeeping', ...path };
  if (!name.startsWith(marker)) return { kind: 'entry', ...path };

  const hidden = name.slice(marker.length);
  if (['', '.', '..'].includes(hidden)) throw invalid('R8', 'a whiteout that names no sibling', suspect);
  return { kind: 'whiteout', parent, name: hidden };
}

/**
 * Splits the path of an entry, or of a hard link's target. Empty and `.` parts are dropped.
 *
 * @throws ARCHIVE_INVALID for a `..` part.
 */
export function splitLayerPath(text: string, suspect: Suspect): Pick<LayerPath, 'parent' | 'name'> {
  const parts = text.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw invalid('R8', 'a path with a .. part', suspect);
  const name = parts.pop() ?? '';
  return { parent: parts.join('/'), name };
}

/** A part of a path without links, and the node there, if it exists. */
type Step = { readonly name: string; readonly node: TreeNode | undefined };

export type Following = {
  /** Returns the node with a name in a directory. */
  readonly childOf: (directory: Directory, name: string) => TreeNode | undefined;
  /** Gets the length of each link's target: a short path can lead through many links. */
  readonly onLink: (bytes: number) => void;
};

/** The limit of umoci and containerd. */
const maximumLinks = 255;

/**
 * Follows a path and all links in it, including one at its end, as for a process with this root directory: an absolute
 * link starts at the root, and no path leads above it. A part that does not exist, or is not below a directory, is kept
 * as it is.
 *
 * @returns the path without links, part by part; undefined when it leads through too many.
 */
export function followPath(root: Directory, path: string, { childOf, onLink }: Following): readonly Step[] | undefined {
  const steps: Step[] = [];
  const ahead = path.split('/').reverse();
  let links = 0;
  for (let part = ahead.pop(); part !== undefined; part = ahead.pop()) {
    if (part === '' || part === '.') continue;
    if (part === '..') {
      steps.pop();
      continue;
    }
    const above = steps.length === 0 ? root : steps.at(-1)?.node;
    const node = above?.kind === 'directory' ? childOf(above, part) : undefined;
    if (node?.kind !== 'symlink') {
      steps.push({ name: part, node });
      continue;
    }
    links += 1;
    if (links > maximumLinks) return undefined;
    onLink(node.linkPath.length);
    if (node.linkPath.startsWith('/')) steps.length = 0;
    ahead.push(...node.linkPath.split('/').reverse());
  }
  return steps;
}

/** The node at the end of a path, with links followed. */
export function findNode(root: Directory, path: string): TreeNode | undefined {
  const steps = followPath(root, path, {
    childOf: ({ children }, name) => children.get(name),
    onLink: () => undefined,
  });
  return steps?.length === 0 ? root : steps?.at(-1)?.node;
}
