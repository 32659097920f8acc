import { createHash } from 'node:crypto';
import { readSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';

import { ImageError } from '../../src/errors.ts';
import type { Write } from '../ingest/output.ts';
import type { OpenedFile } from '../ingest/read-file.ts';
import { blockBytes } from '../tar/header.ts';
import { overLimit } from '../tar/refuse.ts';
import { type EntryHead, formatHeader, padding, plainHead, readEntryHead } from './entry-head.ts';
import type { ReadTree } from './read-tree.ts';
import { type Leaf, type TreeNode, type TreePosition, walkTree } from './tree.ts';

/**
 * Writes the tar of an image: the manifest, then the tree. Each directory comes before its content, and names are
 * sorted by their bytes. The first name of a leaf gets its content, further names are hard links to it.
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

  async function writeNode(path: string, node: TreeNode): Promise<void> {
    if (node.kind === 'directory') {
      const head = node.place ? readHead(node.place) : { ...plainHead, mode: 0o755 };
      return output.put(formatHeader({ kind: 'directory', path: `${path}/`, linkPath: '', size: 0, head }));
    }
    const firstName = firstNames.get(node);
    if (firstName === undefined) return writeLeaf(path, node);
    // A hard link has no records of its own; the file that it refers to has them.
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
    let end = 0;
    for (const { at, bytes, position } of piecesOf(leaf)) {
      await output.fill(at - end, fillZeros);
      await output.fill(bytes, (into, done) => readTar(tar, into, position + done));
      end = at + bytes;
    }
    await output.fill(size - end, fillZeros);
    await output.put(padding(size));
  }

  function readHead(place: TreePosition): EntryHead {
    const tar = tarOf(tars, place);
    return readEntryHead(place, (position, bytes) => readWhole(tar, position, bytes));
  }
}

/** The content of a file, at most its first `maximum` bytes. */
export function readContent({ tars }: Pick<ReadTree, 'tars'>, leaf: Leaf, maximum: number): Buffer {
  const content = Buffer.alloc(Math.min(leaf.size, maximum));
  for (const { at, bytes, position } of piecesOf(leaf)) {
    const within = Math.min(bytes, content.length - at);
    if (within > 0) readWhole(tarOf(tars, leaf), position, within).copy(content, at);
  }
  return content;
}

/** Where the pieces of a file go in it, and where they are in its layer. Only a sparse file has other than one. */
function* piecesOf({ size, sparse, offset }: Leaf) {
  const { map = [0, size], start } = sparse ?? { start: 0 };
  let position = offset + blockBytes + start;
  for (let index = 0; index < map.length; index += 2) {
    const [at = 0, bytes = 0] = map.slice(index, index + 2);
    yield { at, bytes, position };
    position += bytes;
  }
}

function fillZeros(into: Buffer): number {
  into.fill(0);
  return into.length;
}

function tarOf(tars: readonly OpenedFile[], { layer }: TreePosition): OpenedFile {
  const tar = tars[layer];
  if (!tar) throw new Error(`no layer ${layer}`);
  return tar;
}

function readWhole(tar: OpenedFile, position: number, bytes: number): Buffer {
  const whole = Buffer.allocUnsafe(bytes);
  for (let done = 0; done < bytes;) done += readTar(tar, whole.subarray(done), position + done);
  return whole;
}

/**
 * Synchronous: there can be a hundred thousand small reads, mostly from the page cache, and each would take ten times
 * as long in another thread.
 */
function readTar(tar: OpenedFile, into: Buffer, position: number): number {
  const bytes = readSync(tar.fd, into, 0, into.length, position);
  if (bytes > 0) return bytes;
  throw new ImageError('FILE_UNREADABLE', `a layer ends at byte ${position}, before its content`, { path: 'a layer' });
}

/** Collects small pieces, and hashes and writes them in large ones. */
type TarOutput = {
  put(bytes: Uint8Array): Promise<void>;
  /** @param read - fills the start of a non-empty buffer. @returns the number of bytes, at least 1 */
  fill(bytes: number, read: (into: Buffer, done: number) => number): Promise<void>;
  /** Writes the rest. */
  end(): Promise<{ readonly hex: string; readonly size: number }>;
};

const bufferBytes = 1024 * 1024;

/** @returns an output whose calls throw LIMIT_EXCEEDED, and what `write` throws. */
export function createTarOutput(maximum: number, write: Write): TarOutput {
  const hash = createHash('sha512');
  const buffer = Buffer.allocUnsafeSlow(bufferBytes);
  let filled = 0;
  let size = 0;

  const flush = async (): Promise<void> => {
    size += filled;
    if (size > maximum) throw overLimit('unpacked', maximum, 'the image is too large');
    const chunk = buffer.subarray(0, filled);
    hash.update(chunk);
    write(chunk);
    await turn(); // lets other tasks of this thread run
    filled = 0;
  };

  const fill: TarOutput['fill'] = async (bytes, read) => {
    for (let done = 0; done < bytes;) {
      if (filled === bufferBytes) await flush();
      const used = read(buffer.subarray(filled, filled + bytes - done), done);
      filled += used;
      done += used;
    }
  };

  return {
    fill,
    async put(bytes) {
      const source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      await fill(bytes.length, (into, done) => source.copy(into, 0, done));
    },
    async end() {
      await flush();
      return { hex: hash.digest('hex'), size };
    },
  };
}
