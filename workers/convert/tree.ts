import { ImageError } from '../../src/errors.ts';
import { overLimit } from '../tar/refuse.ts';
import type { ConvertLimits } from './requests.ts';

/** Where an entry stands: in which layer, and where in that layer's tar. */
export type TreePosition = {
  /** 0 is the lowest. */
  readonly layer: number;
  /** Of the first block that belongs to the entry, extension headers included. */
  readonly start: number;
  /** Of its own header; its content is behind that. */
  readonly offset: number;
};

/** A file of any type. Hard links are several names of one and the same leaf. */
export type Leaf = TreePosition & {
  readonly kind: 'file' | 'symlink' | 'character-device' | 'block-device' | 'fifo';
  readonly size: number;
  /** Of a symlink. */
  readonly linkPath: string;
};

export type Directory = {
  readonly kind: 'directory';
  /** Of the topmost entry; none when it only shows in the paths below it. */
  place: TreePosition | undefined;
  /** By name: latin1 text, one character a byte. */
  readonly children: Map<string, TreeNode>;
};

export type TreeNode = Directory | Leaf;

export function createDirectory(): Directory {
  return { kind: 'directory', place: undefined, children: new Map() };
}

/** All below a directory, by path, each directory before what is in it. Names are sorted by their bytes. */
export function* walkTree(root: Directory): Generator<readonly [path: string, node: TreeNode]> {
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

function* sortedChildren({ children }: Directory, prefix: string): Generator<readonly [string, TreeNode], undefined> {
  for (const [name, node] of [...children].sort(([a], [b]) => (a < b ? -1 : 1))) yield [prefix + name, node];
}

/** What all layers of an image may take together. */
export type Budget = {
  /** An entry of a layer, or a directory that only shows in the paths below it. */
  addEntry(): void;
  /** Text that stays in memory. */
  addText(bytes: number): void;
  /** A link that was followed, by the length of its target: there can be many of them for each path. */
  addLink(bytes: number): void;
  /** Bytes of uncompressed layers. */
  addUnpacked(bytes: number): void;
};

/** Nothing can be left out of memory here, as it can where paths are only compared: no limit that anyone sets. */
const textBytes = 64 * 1024 * 1024;

/** @returns calls throw LIMIT_EXCEEDED. @see docs/rules.md A3, R4 */
export function createBudget({ entries, unpackedBytes }: ConvertLimits): Budget {
  let [entryCount, text, links, unpacked] = [2, 0, 0, 0]; // the result has a manifest and a rootfs
  return {
    addEntry() {
      entryCount += 1;
      if (entryCount > entries) throw overLimit('entries', entries, 'too many entries in the layers');
    },
    addText(bytes) {
      text += bytes;
      if (text > textBytes) throw overText('paths', 'bytes of paths in the layers');
    },
    addLink(bytes) {
      links += bytes;
      if (links > textBytes) throw overText('links', 'bytes of links to follow in the layers');
    },
    addUnpacked(bytes) {
      unpacked += bytes;
      if (unpacked > unpackedBytes) throw overLimit('unpacked', unpackedBytes, 'the layers are too large');
    },
  };
}

function overText(limit: string, what: string): ImageError {
  return new ImageError('LIMIT_EXCEEDED', `more than ${textBytes} ${what}`, { limit, maximum: textBytes });
}
