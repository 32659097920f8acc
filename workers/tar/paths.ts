import { hash, randomBytes } from 'node:crypto';

import { invalid, type Suspect } from './refuse.ts';

/** An empty, `.` or `..` part anywhere in a path. */
const badPart = /(?:^|\/)\.{0,2}(?:\/|$)/;

/** The directory that contains manifest and rootfs. Some programs list it. */
export const topPath = '.';

/** Removes one leading `./` and one trailing `/`. */
export function trimPath(path: string): string {
  if (path === './' || path === '.') return topPath;
  const trimmed = path.slice(path.startsWith('./') ? 2 : 0, path.endsWith('/') ? -1 : undefined);
  return trimmed === topPath ? path : trimmed;
}

/** @throws ARCHIVE_INVALID unless the trimmed path is below `rootfs/`. @see docs/rules.md A10 */
export function checkBelowRootfs(path: string, suspect: Suspect): void {
  if (path.startsWith('/')) throw invalid('A10', 'an absolute path', suspect);
  if (badPart.test(path)) throw invalid('A10', 'a path with an empty, . or .. part', suspect);
  if (!path.startsWith('rootfs/')) throw invalid('A10', 'a path outside rootfs', suspect);
}

/** What is at a path. `implied` is a directory that only occurs in the paths of other entries. */
export type Standing = 'directory' | 'implied' | 'file' | 'symlink';

type PathSet = {
  get(path: string): Standing | undefined;
  set(path: string, standing: Standing): void;
  readonly size: number;
};

/**
 * The paths of an archive. After `keptBytes` of them, only 128-bit hashes are kept, with a random key so that nobody
 * can prepare two paths with the same hash.
 *
 * @see docs/rules.md A3
 */
export function createPathSet(keptBytes = 64 * 1024 * 1024): PathSet {
  const standings = new Map<string, Standing>();
  const key = randomBytes(16).toString('hex');
  let kept = 0;

  const shorten = (path: string): string =>
    `\0${hash('sha256', Buffer.from(key + path, 'latin1'), 'buffer').toString('latin1', 0, 16)}`;

  /** The key of a path in the map. A hash begins with a NUL, which no path contains, so both cannot be confused. */
  const find = (path: string): string => {
    const isFull = kept + path.length > keptBytes;
    return standings.has(path) || !isFull ? path : shorten(path);
  };

  return {
    get: (path) => standings.get(find(path)),
    set(path, standing) {
      const found = find(path);
      if (found === path && !standings.has(path)) kept += path.length;
      standings.set(found, standing);
    },
    get size() {
      return standings.size;
    },
  };
}
