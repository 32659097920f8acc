import { invalid, type Suspect } from './refuse.ts';

/** An empty, `.` or `..` part, at the start, in the middle or at the end. */
export const badPart = /(?:^|\/)\.{0,2}(?:\/|$)/;

/** The directory above manifest and rootfs, which some programs list. */
export const topPath = '.';

/** A path without one leading `./` and one trailing `/`. */
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
