import { readSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';

import { ImageError } from '../../src/errors.ts';
import { blockBytes } from '../tar/header.ts';
import { plainHead, readEntryHead, type EntryHead } from './entry-head.ts';
import { formatHeader, padding } from './format-header.ts';
import type { ReadTree } from './read-tree.ts';
import type { TarOutput } from './tar-output.ts';
import { walkTree, type Leaf, type Node, type Place } from './tree.ts';

/**
 * Writes the tar of an image: the manifest, then the tree, each directory before what is in it, names in the order of
 * their bytes. The first name of a leaf has its content, further ones are hard links to that.
 *
 * @throws ARCHIVE_INVALID, LIMIT_EXCEEDED, FILE_UNREADABLE; what the output throws
 * @see docs/rules.md A8 to A12
 */
export async function writeImage(manifest: Buffer, { root, linked, tars }: ReadTree, output: TarOutput): Promise<void> {
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
    const tar = tarOf(tars, leaf);
    await output.fill(size, (into, done) => readTar(tar, into, leaf.offset + blockBytes + done));
    await output.put(padding(size));
  }

  function readHead(place: Place): EntryHead {
    const tar = tarOf(tars, place);
    return readEntryHead(place, (position, bytes) => readWhole(tar, position, bytes));
  }
}

/** The content of a file, or the first `maximum` bytes of it. */
export function readContent({ tars }: Pick<ReadTree, 'tars'>, leaf: Leaf, maximum: number): Buffer {
  return readWhole(tarOf(tars, leaf), leaf.offset + blockBytes, Math.min(leaf.size, maximum));
}

function tarOf(tars: readonly FileHandle[], { layer }: Place): FileHandle {
  const tar = tars[layer];
  if (!tar) throw new Error(`no layer ${layer}`);
  return tar;
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
