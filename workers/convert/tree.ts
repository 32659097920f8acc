/** Where an entry stands: in which layer, and where in that layer's tar. */
export type Place = {
  /** 0 is the lowest. */
  readonly layer: number;
  /** Of the first block that belongs to the entry, extension headers included. */
  readonly start: number;
  /** Of its own header; its content is behind that. */
  readonly offset: number;
};

/** A file of any type. Hard links are several names of one and the same leaf. */
export type Leaf = Place & {
  readonly kind: 'file' | 'symlink' | 'character-device' | 'block-device' | 'fifo';
  readonly size: number;
  /** Of a symlink. */
  readonly linkPath: string;
};

export type Directory = {
  readonly kind: 'directory';
  /** Of the topmost entry; none when it only shows in the paths below it. */
  place: Place | undefined;
  /** By name: latin1 text, one character a byte. */
  readonly children: Map<string, Node>;
};

export type Node = Directory | Leaf;

export function createDirectory(): Directory {
  return { kind: 'directory', place: undefined, children: new Map() };
}

/** All below a directory, by path, each directory before what is in it. Names are sorted by their bytes. */
export function* walkTree(root: Directory): Generator<readonly [path: string, node: Node]> {
  const open = [sortedChildren(root, '')];
  for (let current = open.at(-1); current; current = open.at(-1)) {
    const next = current.next();
    if (next.done === true) {
      open.pop();
      continue;
    }
    const [path, node] = next.value;
    yield [path, node];
    if (node.kind === 'directory') open.push(sortedChildren(node, `${path}/`));
  }
}

function* sortedChildren({ children }: Directory, prefix: string): Generator<readonly [string, Node], undefined> {
  for (const [name, node] of [...children].sort(([a], [b]) => (a < b ? -1 : 1))) yield [prefix + name, node];
}
