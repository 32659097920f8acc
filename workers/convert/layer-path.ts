import { invalid, type Suspect } from '../tar/refuse.ts';

/** A path in a layer: the directory that it leads to, links not followed, and a name in it. The root's name is empty. */
export type LayerPath = {
  /**
   * What it means: an entry; a whiteout of that name of the layers below; one of all that they have in the directory; or
   * what aufs keeps for itself, which is no part of the image, but hard links may name it.
   */
  readonly kind: 'entry' | 'whiteout' | 'opaque' | 'bookkeeping';
  readonly parent: string;
  readonly name: string;
};

const marker = '.wh.';
const reserved = '.wh..wh.';
const opaque = '.wh..wh..opq';

/** @throws ARCHIVE_INVALID @see docs/rules.md R8; OCI image-spec layer.md, Whiteouts */
export function parseLayerPath(text: string, suspect: Suspect): LayerPath {
  const path = splitLayerPath(text, suspect);
  if (!text.includes(marker)) return { kind: 'entry', ...path };

  const { parent, name } = path;
  const parts = parent.split('/');
  if (parts.some((part) => part.startsWith(reserved))) return { kind: 'bookkeeping', ...path };
  if (parts.some((part) => part.startsWith(marker))) throw invalid('R8', 'an entry below a whiteout', suspect);
  if (name === opaque) return { kind: 'opaque', ...path };
  if (name.startsWith(reserved)) return { kind: 'bookkeeping', ...path };
  if (!name.startsWith(marker)) return { kind: 'entry', ...path };

  const hidden = name.slice(marker.length);
  if (['', '.', '..'].includes(hidden)) throw invalid('R8', 'a whiteout that names no sibling', suspect);
  return { kind: 'whiteout', parent, name: hidden };
}

/**
 * The path of an entry, or of a hard link's target. Empty and `.` parts count for nothing.
 *
 * @throws ARCHIVE_INVALID when it leads upwards.
 */
export function splitLayerPath(text: string, suspect: Suspect): Pick<LayerPath, 'parent' | 'name'> {
  const parts = text.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw invalid('R8', 'a path with a .. part', suspect);
  const name = parts.pop() ?? '';
  return { parent: parts.join('/'), name };
}
