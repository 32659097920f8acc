import { spawnSync } from 'node:child_process';
import { closeSync, constants, linkSync, mkdirSync, openSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

import { writeError } from '../../src/image/file-error.ts';
import { show } from '../../src/image/show.ts';
import { writeAllSync } from '../../src/system/write-files.ts';
import type { TarEntry } from '../tar/extensions.ts';
import type { Attributes } from '../tar/header.ts';
import type { EntryBody } from '../tar/tar-frames.ts';
import type { ExtractRequest, ExtractResponse } from '../tasks.ts';
import { createXattrWriter, isWritableByUs, setOnFile, setOnPath, setOnSymlink, type Wanted } from './attributes.ts';
import type { Placement } from './plan.ts';

export type TreeWriter = Disposable & {
  /** Makes the file of an entry, and its parents. @returns the consumer of its content */
  add(entry: TarEntry, placement: Placement): Omit<EntryBody, 'size'> | undefined;
  writeFile(path: string, content: Uint8Array, attributes: Attributes): void;
  /** Sets the remaining attributes: extended ones, and those of directories, which are set once they are complete. */
  finish(): void;
  readonly skipped: ExtractResponse['skipped'];
  readonly withoutXattrs: ExtractResponse['withoutXattrs'];
};

type Target = Pick<ExtractRequest, 'target' | 'shown' | 'rootfsOnly'>;

const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
/** Mode of a directory while it is filled, and of one that has no entry. */
const openMode = 0o700;
const impliedMode = 0o755;
const shownPaths = 8;
/** For files. Those of directories are set at the end, since files made in them might inherit some. */
const fileDumpBytes = 1024 * 1024;
const directoryDumpBytes = 16 * 1024 * 1024;

/**
 * Writes a tree to a directory that no one else uses. Nothing can be written outside it: each name is created new, part
 * by part, in directories that were made here, so no link is ever followed. Calls are synchronous: each entry is
 * complete before the next is read, and the thread has nothing else to do.
 *
 * Nothing is synced: a tree is a copy of what is in the store, and can be made again after a power cut.
 *
 * @returns a writer whose calls throw STORE_FULL, STORE_READ_ONLY, FILE_NOT_FOUND and FILE_UNREADABLE.
 */
export function createTreeWriter({ target, shown, rootfsOnly }: Target): TreeWriter {
  const base = Buffer.from(target);
  const top = rootfsOnly ? 'rootfs' : '';
  const directories = new Map<string, Wanted>([[top, { mode: impliedMode }]]);
  const skipped = new Set<string>();
  const withoutXattrs = new Set<string>();
  const addFailure = (below: string): void => void withoutXattrs.add(rootfsOnly ? join(top, below) : below);
  const fileXattrs = createXattrWriter(target, fileDumpBytes, addFailure);
  const directoryXattrs = createXattrWriter(target, directoryDumpBytes, addFailure);
  /** Final modes of files whose extended attributes could not be set with these modes. */
  const laterModes = new Map<string, Wanted>();
  let open: number | undefined;

  const belowTarget = (path: string): string => (rootfsOnly ? path.slice(top.length + 1) : path) || '.';
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

  const addXattrs = (path: string, { kind, xattrs }: TarEntry): void => {
    if (xattrs) (kind === 'directory' ? directoryXattrs : fileXattrs).add(belowTarget(path), xattrs);
  };

  const openFile = (path: string, attributes: Attributes, onDone = (): void => undefined) => {
    const file = guard(path, (location) => openSync(location, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600));
    open = file;
    return {
      piece: (piece: Uint8Array) => guard(path, () => writeAllSync(file, piece)),
      done() {
        guard(path, () => setOnFile(file, attributes));
        open = undefined;
        guard(path, () => closeSync(file));
        onDone();
      },
    };
  };

  const addFile = (path: string, entry: TarEntry) => {
    const { attributes, xattrs } = entry;
    const isLater = xattrs !== undefined && !isWritableByUs(attributes);
    if (isLater) laterModes.set(path, attributes);
    const first = isLater ? { ...attributes, mode: attributes.mode | 0o200 } : attributes;
    return openFile(path, first, () => addXattrs(path, entry));
  };

  const addNode = (entry: TarEntry, kind: NodeKind, path: string): void => {
    if (guard(path, (location) => makeNode(location, kind, entry))) {
      guard(path, (location) => setOnPath(location, entry.attributes));
      addXattrs(path, entry);
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
        addXattrs(path, entry);
        return undefined;
      }
      makeParent(path);
      switch (entry.kind) {
        case 'file':
          return addFile(path, entry);
        case 'symlink':
          guard(path, (location) => {
            symlinkSync(Buffer.from(entry.linkPath, 'latin1'), location);
            setOnSymlink(location, entry.attributes);
          });
          addXattrs(path, entry);
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
      fileXattrs.flush();
      directoryXattrs.flush(); // before their owners may enter them
      for (const [path, wanted] of laterModes) guard(path, (location) => setOnPath(location, wanted));
      // Sorted so that children come before their parents: a parent may get a mode that bars access, and its time must
      // be set last.
      const deepestFirst = [...directories].sort(([a], [b]) => (a < b ? 1 : -1));
      for (const [path, wanted] of deepestFirst) guard(path, (location) => setOnPath(location, wanted));
    },
    get skipped() {
      return summarise(skipped);
    },
    get withoutXattrs() {
      return summarise(withoutXattrs);
    },
    [Symbol.dispose]() {
      if (open !== undefined) closeSync(open);
    },
  };
}

function summarise(all: ReadonlySet<string>): ExtractResponse['skipped'] {
  const paths = Array.from(all.values().take(shownPaths), (path) => Buffer.from(path, 'latin1').toString());
  return { count: all.size, paths };
}

const types = { 'character-device': 'c', 'block-device': 'b', fifo: 'p' } as const;
const timeout = 10_000;

type NodeKind = keyof typeof types;

/**
 * Makes a device or fifo, with the program mknod: Node has no function for it. Devices need root, and often more
 * privileges than root has in a container.
 *
 * @returns false when it could not be made.
 */
function makeNode(path: Buffer, kind: NodeKind, { attributes: { major, minor } }: TarEntry): boolean {
  const name = path.toString();
  if (!Buffer.from(name).equals(path)) return false; // arguments are UTF-8, but paths may not be
  const numbers = kind === 'fifo' ? [] : [String(major), String(minor)];
  return spawnSync('mknod', ['--', name, types[kind], ...numbers], { stdio: 'ignore', timeout }).status === 0;
}
