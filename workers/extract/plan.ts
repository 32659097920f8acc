import { trimPath } from '../tar/entry-path.ts';
import type { OnChecked } from '../tar/tar-checker.ts';
import type { TarEntry } from '../tar/tar-reader.ts';
import type { Overlay } from './overlay.ts';
import type { Whitelist } from './whitelist.ts';

/** Where an entry goes in the tree; for a hard link, also what it becomes another name of. */
export type Placement = { readonly path: string; readonly linkPath: string };

/** What becomes of each entry of an archive; undefined: it stays out. */
export type Plan = (entry: TarEntry, path: string) => Placement | undefined;

/** Each entry where it says. */
export const takeAll: Plan = ({ linkPath }, path) => ({ path, linkPath: trimPath(linkPath) });

export type Planner = {
  /** Gets every entry of an archive, in its order. */
  readonly onEntry: OnChecked;
  readonly plan: Plan;
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
