import type { Directory, Node } from './tree.ts';

/** A part of a path without links: what stands there, if anything does. */
export type Step = { readonly name: string; readonly node: Node | undefined };

export type Following = {
  /** What stands in a directory under a name. */
  readonly childOf: (directory: Directory, name: string) => Node | undefined;
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
export function findNode(root: Directory, path: string): Node | undefined {
  const steps = followPath(root, path, {
    childOf: ({ children }, name) => children.get(name),
    onLink: () => undefined,
  });
  return steps?.length === 0 ? root : steps?.at(-1)?.node;
}
