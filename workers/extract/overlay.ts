import { createPathSet } from '../tar/path-set.ts';

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
