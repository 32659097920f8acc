import { closeSync, constants, linkSync, mkdirSync, openSync, symlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';

import { show } from '../../src/image/show.ts';
import { writeError } from '../../src/image/write-error.ts';
import type { Attributes } from '../tar/header.ts';
import type { Body } from '../tar/tar-frames.ts';
import type { TarEntry } from '../tar/tar-reader.ts';
import type { ExtractRequest, ExtractResponse } from '../tasks.ts';
import { setOnFile, setOnPath, setOnSymlink, type Wanted } from './attributes.ts';
import { makeNode, type NodeKind } from './make-node.ts';
import type { Placement } from './plan.ts';

export type TreeWriter = Disposable & {
  /** Makes what an entry stands for, its parents too. @returns who takes its content */
  add(entry: TarEntry, placement: Placement): Omit<Body, 'size'> | undefined;
  writeFile(path: string, content: Uint8Array, attributes: Attributes): void;
  /** Gives the directories their attributes, once nothing more comes into them. */
  finish(): void;
  readonly skipped: ExtractResponse['skipped'];
};

type Target = Pick<ExtractRequest, 'target' | 'shown' | 'rootfsOnly'>;

const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
/** Of a directory while it is filled; and of one that no entry says anything of. */
const openMode = 0o700;
const impliedMode = 0o755;
const shownSkipped = 8;

/**
 * Writes a tree into a directory that belongs to it alone. Nothing can come to stand outside: a name is only ever made
 * new, and only in a directory that was made here, one part after the other; a link that was made here is in nobody's
 * way. Calls are synchronous: each entry is whole before the next one is read, and the thread has nothing else to do.
 *
 * Nothing is synced. A tree is a copy of what the store keeps: after a power cut it is made again.
 *
 * @returns a writer whose calls throw STORE_FULL, STORE_READ_ONLY, FILE_NOT_FOUND and FILE_UNREADABLE.
 */
export function createTreeWriter({ target, shown, rootfsOnly }: Target): TreeWriter {
  const base = Buffer.from(target);
  const top = rootfsOnly ? 'rootfs' : '';
  const directories = new Map<string, Wanted>([[top, { mode: impliedMode }]]);
  const skipped = new Set<string>();
  let open: number | undefined;

  const locate = (path: string): Buffer => {
    const below = rootfsOnly ? path.slice(top.length) : `/${path}`;
    return Buffer.concat([base, Buffer.from(below, 'latin1')]);
  };

  const guard = <T>(path: string, work: (location: Buffer) => T): T => {
    try {
      return work(locate(path));
    } catch (error) {
      throw writeError(error, join(shown, show(Buffer.from(path, 'latin1').toString(), 4096)));
    }
  };

  const makeDirectory = (path: string, wanted: Wanted): void => {
    if (!directories.has(path)) {
      makeParent(path);
      guard(path, (location) => mkdirSync(location, { mode: openMode }));
    }
    directories.set(path, wanted);
  };

  const makeParent = (path: string): void => {
    const parent = path.slice(0, Math.max(path.lastIndexOf('/'), 0));
    if (!directories.has(parent)) makeDirectory(parent, { mode: impliedMode });
  };

  const openFile = (path: string, attributes: Attributes) => {
    const file = guard(path, (location) => openSync(location, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600));
    open = file;
    return {
      piece: (piece: Uint8Array) => guard(path, () => writeAll(file, piece)),
      done() {
        guard(path, () => setOnFile(file, attributes));
        open = undefined;
        guard(path, () => closeSync(file));
      },
    };
  };

  const addNode = (entry: TarEntry, kind: NodeKind, path: string): void => {
    if (guard(path, (location) => makeNode(location, kind, entry))) {
      guard(path, (location) => setOnPath(location, entry.attributes));
    } else skipped.add(path);
  };

  const addLink = ({ path, linkPath }: Placement): void => {
    if (skipped.has(linkPath)) skipped.add(path);
    else guard(path, (location) => linkSync(locate(linkPath), location));
  };

  return {
    add(entry, placement) {
      const { path } = placement;
      if (entry.kind === 'directory') {
        makeDirectory(path, entry.attributes);
        return undefined;
      }
      makeParent(path);
      switch (entry.kind) {
        case 'file':
          return openFile(path, entry.attributes);
        case 'symlink':
          guard(path, (location) => {
            symlinkSync(Buffer.from(entry.linkPath, 'latin1'), location);
            setOnSymlink(location, entry.attributes);
          });
          return undefined;
        case 'hard-link':
          addLink(placement);
          return undefined;
        case 'character-device':
        case 'block-device':
        case 'fifo':
          addNode(entry, entry.kind, path);
          return undefined;
      }
    },
    writeFile(path, content, attributes) {
      const file = openFile(path, attributes);
      file.piece(content);
      file.done();
    },
    finish() {
      // What is deeper is greater: a parent that nobody may enter, or whose time counts, comes behind its children.
      const deepestFirst = [...directories].sort(([a], [b]) => (a < b ? 1 : -1));
      for (const [path, wanted] of deepestFirst) guard(path, (location) => setOnPath(location, wanted));
    },
    get skipped() {
      const paths = Array.from(skipped.values().take(shownSkipped), (path) => Buffer.from(path, 'latin1').toString());
      return { count: skipped.size, paths };
    },
    [Symbol.dispose]() {
      if (open !== undefined) closeSync(open);
    },
  };
}

function writeAll(file: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
}
