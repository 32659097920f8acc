import { posix } from 'node:path';

import { trimPath, createPathSet } from '../tar/paths.ts';
import type { OnChecked } from '../tar/tar-checker.ts';
import type { TarEntry } from '../tar/tar-reader.ts';
import type { ExtractLayer } from '../tasks.ts';

/** Where an entry goes in the tree; for a hard link, also what it becomes another name of. */
export type Placement = { readonly path: string; readonly linkPath: string };

/** What becomes of each entry of an archive; undefined: it stays out. */
export type ExtractionPlan = (entry: TarEntry, path: string) => Placement | undefined;

/** Each entry where it says. */
export const takeAll: ExtractionPlan = ({ linkPath }, path) => ({ path, linkPath: trimPath(linkPath) });

type Planner = {
  /** Gets every entry of an archive, in its order. */
  readonly onEntry: OnChecked;
  readonly plan: ExtractionPlan;
};

/**
 * Decides what an image contributes, from its headers alone. A hard link whose file stays out cannot be made from what
 * is in the tree: the first such link gets the content itself, and that comes earlier in the archive than the link.
 *
 * @see appc 7.3, 7.4.4
 */
export function createPlanner(overlay: Overlay, whitelist: Whitelist): Planner {
  /** By the offset of an entry: what differs from taking it as it is. */
  const changes = new Map<number, Placement | undefined>();
  /** By path: the offsets of the files that stay out. */
  const left = new Map<string, number>();
  /** Files by the paths of their links, and where in the tree they are if not at their own. */
  const origins = new Map<string, string>();
  const moved = new Map<string, string>();

  const placeLink = (entry: TarEntry, path: string, isTaken: boolean): Placement | undefined => {
    const target = trimPath(entry.linkPath);
    const origin = origins.get(target) ?? target;
    origins.set(path, origin);
    if (!isTaken) return undefined;
    const offset = left.get(origin);
    const linkPath = moved.get(origin) ?? origin;
    if (offset === undefined || moved.has(origin)) return { path, linkPath };
    changes.set(offset, { path, linkPath: '' });
    moved.set(origin, path);
    return undefined;
  };

  return {
    onEntry(entry, path) {
      const isDirectory = entry.kind === 'directory';
      const isTaken = whitelist(path, isDirectory) && overlay.offer(path, isDirectory);
      if (entry.kind === 'hard-link') {
        changes.set(entry.offset, placeLink(entry, path, isTaken));
      } else if (!isTaken) {
        changes.set(entry.offset, undefined);
        if (!isDirectory) left.set(path, entry.offset);
      }
      return undefined;
    },
    plan: (entry, path) => (changes.has(entry.offset) ? changes.get(entry.offset) : takeAll(entry, path)),
  };
}

/** The paths of a tree that images fill one after the other, the uppermost first. */
export type Overlay = {
  /**
   * Takes a path unless an image above has provided it, or something that is no directory at one of its parents.
   * A directory that only shows in the paths below it can still be provided, as a directory. A file that an upper
   * directory has replaced is not taken, but hides what images below it have there.
   *
   * @returns whether it was taken.
   */
  offer(path: string, isDirectory: boolean): boolean;
  /** How many paths there are, parents that nobody provided included. */
  readonly size: number;
};

/** The result is that of unpacking the lowest image first, each over what is there. @see appc 7.2, 7.3.3 to 7.3.5 */
export function createOverlay(): Overlay {
  const paths = createPathSet();
  /** Directories of which nothing comes from below any more. */
  const closed = new Set<string>();

  const isClosed = (path: string): boolean => {
    if (closed.size === 0) return false;
    for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) {
      if (closed.has(path.slice(0, end))) return true;
    }
    return false;
  };

  /** Every part above a path becomes a directory, unless one of them is something else. */
  const addParents = (path: string): boolean => {
    const missing: string[] = [];
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
      const parent = path.slice(0, end);
      const known = paths.get(parent);
      if (known === 'file') return false;
      if (known !== undefined) break;
      missing.push(parent);
    }
    for (const parent of missing) paths.set(parent, 'implied');
    return true;
  };

  return {
    offer(path, isDirectory) {
      if (isClosed(path)) return false;
      const known = paths.get(path);
      if (known === undefined && !addParents(path)) return false;
      if (!isDirectory && (known === 'directory' || known === 'implied')) closed.add(path);
      if (known !== undefined && (known !== 'implied' || !isDirectory)) return false;
      paths.set(path, isDirectory ? 'directory' : 'file');
      return true;
    },
    get size() {
      return paths.size;
    },
  };
}

type Whitelist = (path: string, isDirectory: boolean) => boolean;

/**
 * Which paths of an image may go into a tree: its own list does without nothing but directories, the one from above
 * without nothing at all. The rootfs itself is always taken.
 *
 * @returns a function of paths in latin1 text, as archives have them.
 * @see appc 7.3.2, 7.4
 */
export function createWhitelist({ own, inherited }: Pick<ExtractLayer, 'own' | 'inherited'>): Whitelist {
  const [mine, above] = [listed(own), listed(inherited)];
  return (path, isDirectory) =>
    path === 'rootfs' || ((isDirectory || (mine?.has(path) ?? true)) && (above?.has(path) ?? true));
}

function listed(paths: readonly string[]): ReadonlySet<string> | undefined {
  return paths.length === 0 ? undefined : new Set(paths.map(toArchivePath));
}

/** `/a`, `a`, `//a`, `/a/` and `/x/../a` are the same. */
function toArchivePath(path: string): string {
  const clean = posix.join('rootfs', path).replace(/\/$/, '');
  return Buffer.from(clean).toString('latin1');
}
