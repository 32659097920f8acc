import { posix } from 'node:path';

import type { TarEntry } from '../tar/extensions.ts';
import { createPathSet, trimPath } from '../tar/paths.ts';
import type { OnChecked } from '../tar/tar-checker.ts';
import type { ExtractLayer } from '../tasks.ts';

/** The path of an entry in the tree; for a hard link, also the path that it links to. */
export type Placement = { readonly path: string; readonly linkPath: string };

/** Returns the placement of each entry of an archive; undefined when the entry is left out. */
export type ExtractionPlan = (entry: TarEntry, path: string) => Placement | undefined;

/** Places each entry at its own path. */
export const takeAll: ExtractionPlan = ({ linkPath }, path) => ({ path, linkPath: trimPath(linkPath) });

type Planner = {
  /** Gets each entry of an archive, in order. */
  readonly onEntry: OnChecked;
  readonly plan: ExtractionPlan;
};

/**
 * Decides which entries of an image are extracted, from the headers alone. When the file of a hard link is left out,
 * the first such link that is extracted gets its content. That content comes earlier in the archive than the link, so a
 * plan is needed.
 *
 * @see appc 0.8.11, pkg/acirenderer; spec/ace.md, Filesystem Setup
 */
export function createPlanner(overlay: Overlay, whitelist: Whitelist): Planner {
  /** The placements that differ from `takeAll`, by the offset of the entry. */
  const changes = new Map<number, Placement | undefined>();
  /** The offsets of the files that are left out, by path. */
  const leftOut = new Map<string, number>();
  /** The file of each hard link, and the path in the tree of each file that is placed elsewhere. */
  const origins = new Map<string, string>();
  const moved = new Map<string, string>();

  const placeLink = (entry: TarEntry, path: string, isTaken: boolean): Placement | undefined => {
    const target = trimPath(entry.linkPath);
    const origin = origins.get(target) ?? target;
    origins.set(path, origin);
    if (!isTaken) return undefined;
    const offset = leftOut.get(origin);
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
        if (!isDirectory) leftOut.set(path, entry.offset);
      }
      return undefined;
    },
    plan: (entry, path) => (changes.has(entry.offset) ? changes.get(entry.offset) : takeAll(entry, path)),
  };
}

/** The paths of a tree that is filled from several images, the uppermost first. */
export type Overlay = {
  /**
   * Takes a path, unless an image above has it already, or has something other than a directory at one of its parents.
   * A directory that so far only occurs in the paths of others can still be taken. A file whose path is a directory of
   * an image above is not taken, but it hides that path in the images below.
   *
   * @returns whether it was taken.
   */
  offer(path: string, isDirectory: boolean): boolean;
  /** The number of paths, including parents without an entry. */
  readonly size: number;
};

/**
 * The result is the same as unpacking the lowest image first, and each other one over it. @see appc 0.8.11,
 * pkg/acirenderer; spec/ace.md, Filesystem Setup
 */
export function createOverlay(): Overlay {
  const paths = createPathSet();
  /** Directories that get nothing from lower images any more. */
  const closed = new Set<string>();

  const isClosed = (path: string): boolean => {
    if (closed.size === 0) return false;
    for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) {
      if (closed.has(path.slice(0, end))) return true;
    }
    return false;
  };

  /** Adds the parents of a path as directories. Fails if one of them is something else. */
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
 * Selects the paths of an image that may be extracted. Its own list applies to everything but directories, the
 * inherited one to everything. The rootfs itself is always extracted.
 *
 * @returns a function of paths in latin1 text, as in archives.
 * @see appc 0.8.11, pkg/acirenderer; spec/aci.md, pathWhitelist
 */
export function createWhitelist({ own, inherited }: Pick<ExtractLayer, 'own' | 'inherited'>): Whitelist {
  const [ownSet, inheritedSet] = [listed(own), listed(inherited)];
  return (path, isDirectory) =>
    path === 'rootfs' || ((isDirectory || (ownSet?.has(path) ?? true)) && (inheritedSet?.has(path) ?? true));
}

function listed(paths: readonly string[]): ReadonlySet<string> | undefined {
  return paths.length === 0 ? undefined : new Set(paths.map(toArchivePath));
}

/** `/a`, `a`, `//a`, `/a/` and `/x/../a` give the same path. */
function toArchivePath(path: string): string {
  const clean = posix.join('rootfs', path).replace(/\/$/, '');
  return Buffer.from(clean).toString('latin1');
}
