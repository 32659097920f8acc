import { invalid, type Suspect } from './refuse.ts';

/** An empty, `.` or `..` part, at the start, in the middle or at the end. */
const badPart = /(?:^|\/)\.{0,2}(?:\/|$)/;

/** A path without one leading `./` and one trailing `/`; empty for the top of the archive. */
export function trimPath(path: string): string {
  const start = path.startsWith('./') ? 2 : 0;
  const end = path.endsWith('/') && path.length > start ? path.length - 1 : path.length;
  const trimmed = path.slice(start, end);
  return trimmed === '.' ? '' : trimmed;
}

/** @throws ARCHIVE_INVALID unless the trimmed path is below `rootfs/`. @see docs/rules.md A10 */
export function checkBelowRootfs(path: string, suspect: Suspect): void {
  if (path.startsWith('/')) throw invalid('A10', 'an absolute path', suspect);
  if (badPart.test(path)) throw invalid('A10', 'a path with an empty, . or .. part', suspect);
  if (!path.startsWith('rootfs/')) throw invalid('A10', 'a path outside rootfs', suspect);
}
