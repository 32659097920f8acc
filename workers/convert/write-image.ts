import { readSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';

import { ImageError } from '../../src/errors.ts';
import { blockBytes } from '../tar/header.ts';
import { plainHead, readEntryHead, type EntryHead } from './entry-head.ts';
import { formatHeader, padding } from './format-header.ts';
import type { TarOutput } from './tar-output.ts';
import { walkTree, type Directory, type Leaf, type Node, type Place } from './tree.ts';

/** What is to be written, and where it is read from. */
export type ImageContent = {
  readonly manifest: Buffer;
  readonly root: Directory;
  /** Leaves that may have more than one name. */
  readonly linked: ReadonlySet<Leaf>;
  /** By number of the layer. */
  readonly tars: readonly FileHandle[];
};

/**
 * Writes the tar of an image: the manifest, then the tree, each directory before what is in it, names in the order of
 * their bytes. The first name of a leaf has its content, further ones are hard links to that.
 *
 * @throws ARCHIVE_INVALID, LIMIT_EXCEEDED, FILE_UNREADABLE; what the output throws
 * @see docs/rules.md A8 to A12
 */
export async function writeImage({ manifest, root, linked, tars }: ImageContent, output: TarOutput): Promise<void> {
  const firstNames = new Map<Leaf, string>();

  await output.put(
    formatHeader({ kind: 'file', path: 'manifest', linkPath: '', size: manifest.length, head: plainHead }),
  );
  await output.put(manifest);
  await output.put(padding(manifest.length));
  await writeNode('rootfs', root);
  for (const [path, node] of walkTree(root)) await writeNode(`rootfs/${path}`, node);
  await output.put(Buffer.alloc(2 * blockBytes));

  async function writeNode(path: string, node: Node): Promise<void> {
    if (node.kind === 'directory') {
      const head = node.place ? readHead(node.place) : { ...plainHead, mode: 0o755 };
      return output.put(formatHeader({ kind: 'directory', path: `${path}/`, linkPath: '', size: 0, head }));
    }
    const firstName = firstNames.get(node);
    if (firstName === undefined) return writeLeaf(path, node);
    // A link has no records of its own: it is another name of what has them.
    const head = { ...readHead(node), records: [], major: 0, minor: 0 };
    return output.put(formatHeader({ kind: 'hard-link', path, linkPath: firstName, size: 0, head }));
  }

  async function writeLeaf(path: string, leaf: Leaf): Promise<void> {
    if (linked.has(leaf)) firstNames.set(leaf, path);
    const { kind, size, linkPath } = leaf;
    await output.put(
      formatHeader({ kind, path, linkPath: kind === 'symlink' ? linkPath : '', size, head: readHead(leaf) }),
    );
    if (size === 0) return;
    await output.fill(size, (into, done) => readTar(tarOf(leaf), into, leaf.offset + blockBytes + done));
    await output.put(padding(size));
  }

  function readHead(place: Place): EntryHead {
    const tar = tarOf(place);
    return readEntryHead(place, (position, bytes) => readWhole(tar, position, bytes));
  }

  function tarOf({ layer }: Place): FileHandle {
    const tar = tars[layer];
    if (!tar) throw new Error(`no layer ${layer}`);
    return tar;
  }
}

/** The content of a small file. */
export function readContent(tars: readonly FileHandle[], { layer, offset, size }: Leaf, maximum: number): Buffer {
  const tar = tars[layer];
  return tar ? readWhole(tar, offset + blockBytes, Math.min(size, maximum)) : Buffer.alloc(0);
}

function readWhole(tar: FileHandle, position: number, bytes: number): Buffer {
  const whole = Buffer.allocUnsafe(bytes);
  for (let done = 0; done < bytes;) done += readTar(tar, whole.subarray(done), position + done);
  return whole;
}

/** A hundred thousand small reads, from memory mostly: each would take ten times as long by way of another thread. */
function readTar(tar: FileHandle, into: Buffer, position: number): number {
  const bytes = readSync(tar.fd, into, 0, into.length, position);
  if (bytes > 0) return bytes;
  throw new ImageError('FILE_UNREADABLE', `a layer ends at byte ${position}, before its content`, { path: 'a layer' });
}
