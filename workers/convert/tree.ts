import { ImageError } from '../../src/errors.ts';
import type { Sparse } from '../tar/extensions.ts';
import { overLimit } from '../tar/refuse.ts';
import type { ConvertLimits } from './requests.ts';

/** The position of an entry: its layer, and the offsets in that layer's tar. */
export type TreePosition = {
  /** 0 is the lowest. */
  readonly layer: number;
  /** Of the first block of the entry, including extension headers. */
  readonly start: number;
  /** Of the entry's own header; the content follows it. */
  readonly offset: number;
};

/** A file of any type but directory. Hard links are several names of the same leaf. */
export type Leaf = TreePosition & {
  readonly kind: 'file' | 'symlink' | 'character-device' | 'block-device' | 'fifo';
  readonly size: number;
  readonly sparse?: Sparse;
  /** Of a symlink. */
  readonly linkPath: string;
};

export type Directory = {
  readonly kind: 'directory';
  /** Of the topmost entry; undefined for a directory that only occurs in the paths of others. */
  place: TreePosition | undefined;
  /** By name, as latin1 text with one character for each byte. */
  readonly children: Map<string, TreeNode>;
};

export type TreeNode = Directory | Leaf;

export function createDirectory(): Directory {
  return { kind: 'directory', place: undefined, children: new Map() };
}

/**
 * Everything below a directory, with paths. Each directory comes before its content; names are sorted by their bytes.
 */
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

/** Limits for all layers of an image together. */
export type Budget = {
  /** Counts an entry of a layer, or a directory that only occurs in the paths of others. */
  addEntry(): void;
  /** Counts text that stays in memory. */
  addText(bytes: number): void;
  /** Counts a link that was followed, by the length of its target: a single path may lead through many. */
  addLink(bytes: number): void;
  /** Counts bytes of uncompressed layers. */
  addUnpacked(bytes: number): void;
};

/** All paths stay in memory here, unlike where they are only compared. Users cannot change this limit. */
const textBytes = 64 * 1024 * 1024;

/** @returns calls throw LIMIT_EXCEEDED. @see docs/rules.md A3, R4 */
export function createBudget({ entries, unpackedBytes }: ConvertLimits): Budget {
  let [entryCount, text, links, unpacked] = [2, 0, 0, 0]; // the resulting image adds a manifest and a rootfs
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
