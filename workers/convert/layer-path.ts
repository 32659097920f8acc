import { badPart } from '../tar/entry-path.ts';
import { invalid, type Suspect } from '../tar/refuse.ts';

/** What a path in a layer means. Paths have no slash at either end; the root's is empty. */
export type LayerPath =
  | { readonly kind: 'entry'; readonly path: string }
  /** Hides that path of the layers below. */
  | { readonly kind: 'whiteout'; readonly path: string }
  /** Hides what the layers below have in that directory. */
  | { readonly kind: 'opaque'; readonly path: string }
  /** What aufs keeps for itself: no part of the image, but hard links may name it. */
  | { readonly kind: 'bookkeeping'; readonly path: string };

const marker = '.wh.';
const reserved = '.wh..wh.';
const opaque = '.wh..wh..opq';

/** @throws ARCHIVE_INVALID @see docs/rules.md R8; OCI image-spec layer.md, Whiteouts */
export function parseLayerPath(text: string, suspect: Suspect): LayerPath {
  const path = trimLayerPath(text, suspect);
  if (!path.includes(marker)) return { kind: 'entry', path };

  const parts = path.split('/');
  const last = parts.pop() ?? '';
  if (parts.some((part) => part.startsWith(reserved))) return { kind: 'bookkeeping', path };
  if (parts.some((part) => part.startsWith(marker))) throw invalid('R8', 'an entry below a whiteout', suspect);
  if (last === opaque) return { kind: 'opaque', path: parts.join('/') };
  if (last.startsWith(reserved)) return { kind: 'bookkeeping', path };
  if (!last.startsWith(marker)) return { kind: 'entry', path };

  const hidden = last.slice(marker.length);
  if (badPart.test(hidden)) throw invalid('R8', 'a whiteout that names no sibling', suspect);
  return { kind: 'whiteout', path: [...parts, hidden].join('/') };
}

/** A path of an entry or of a hard link's target. @throws ARCHIVE_INVALID when it leads out of the layer */
export function trimLayerPath(path: string, suspect: Suspect): string {
  if (path === '.' || path === './' || path === '/') return '';
  const start = path.startsWith('./') ? 2 : path.startsWith('/') ? 1 : 0;
  const trimmed = path.slice(start, path.endsWith('/') ? -1 : undefined);
  if (badPart.test(trimmed)) throw invalid('R8', 'a path with an empty, . or .. part', suspect);
  return trimmed;
}

/** The directory above; that of the root's children is the root. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}
