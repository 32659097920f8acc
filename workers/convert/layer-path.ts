import { invalid, type Suspect } from '../tar/refuse.ts';
import type { Directory, TreeNode } from './tree.ts';

/** A path in a layer: the directory that it leads to, links not followed, and a name in it. The root's name is empty. */
export type LayerPath = {
  /**
   * What it means: an entry; a whiteout of that name of the layers below; one of all that they have in the directory; or
   * what aufs keeps for itself, which is no part of the image, but hard links may name it.
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
 * The path of an entry, or of a hard link's target. Empty and `.` parts count for nothing.
 *
 * @throws ARCHIVE_INVALID when it leads upwards.
 */
export function splitLayerPath(text: string, suspect: Suspect): Pick<LayerPath, 'parent' | 'name'> {
  const parts = text.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw invalid('R8', 'a path with a .. part', suspect);
  const name = parts.pop() ?? '';
  return { parent: parts.join('/'), name };
}

/** A part of a path without links: what stands there, if anything does. */
type Step = { readonly name: string; readonly node: TreeNode | undefined };

export type Following = {
  /** What stands in a directory under a name. */
  readonly childOf: (directory: Directory, name: string) => TreeNode | undefined;
  /** Gets the length of each link's target: a short path can lead through many. */
  readonly onLink: (bytes: number) => void;
};

/** As umoci and containerd have it. */
const maximumLinks = 255;

/**
 * Follows a path and all links in it, that at its end too, as a process would whose root this is: an absolute link leads from
 * the root, and none above it. What is not there, and what is below no directory, stands for itself.
 *
 * @returns the path without links, part by part; undefined when it leads through too many of them.
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

/** What stands at the end of a path, links followed. */
export function findNode(root: Directory, path: string): TreeNode | undefined {
  const steps = followPath(root, path, {
    childOf: ({ children }, name) => children.get(name),
    onLink: () => undefined,
  });
  return steps?.length === 0 ? root : steps?.at(-1)?.node;
}
